"""Groups of packed weights brought from flash to RAM: copied as they are, or unpacked from two a byte.

Four bits a weight lie in flash as a word for two words of the stream: the first one's bytes in the low halves, the
second one's in the high halves, each 8 more than its value so that it is not negative. A halfword of the stream is
256 * high + low; SSUB16 takes 256 * 8 + 8 off it.
"""

from __future__ import annotations

LOW_NIBBLES = 0x0F0F0F0F
_EIGHTS = 0x08080808
# registers of two words of the stream; packed words are loaded into the first ones
_PAIRS = (("r0", "r1"), ("r4", "r5"), ("r6", "r7"), ("r10", "r11"))


def copy_group(label: str) -> tuple[str, ...]:
    """Return the code that copies a group of four channels from lr to r2, up to r1: a word, then at least 3 times
    16 bytes. Uses r3 to r11.
    """
    return (
        "ldr r4, [lr], #4",
        "str r4, [r2], #4",
        "sub r3, r1, lr",
        "tst r3, #16",
        f"beq {label}f",
        "ldm lr!, {r4-r7}",
        "stm r2!, {r4-r7}",
        f"{label}:",
        "ldm lr!, {r4-r11}",
        "stm r2!, {r4-r11}",
        "cmp lr, r1",
        f"bne {label}b",
    )


def unpack_group(label: str, channels: int) -> tuple[str, ...]:
    """Return the code that unpacks a group of four channels, or of a pair of which `channels` count, from lr to r2.

    Stream words end at r3. Uses all registers but r2, r3, r12 and lr for itself, and advances r2 and lr.
    """
    masks = f"mov r8, #{LOW_NIBBLES}", f"mov r9, #{_EIGHTS}"
    if channels < 4:
        shifts_and_multipliers = "r4-r6" if channels == 2 else "r4-r5"
        return (
            *_move("r4-r5"),
            *masks,
            f"{label}:",
            *_unpack(1),
            "cmp r2, r3",
            f"bne {label}b",
            *_move(shifts_and_multipliers),
        )
    return (
        *_move("r4-r7"),
        *masks,
        "sub r0, r3, r2",
        "tst r0, #16",
        f"beq {label}f",
        *_unpack(2),
        "cmp r2, r3",
        f"beq {label}1f",
        f"{label}:",
        *_unpack(4),
        "cmp r2, r3",
        f"bne {label}b",
        f"{label}1:",
        *_move("r4-r8"),
    )


def _move(registers: str) -> tuple[str, str]:
    return f"ldm lr!, {{{registers}}}", f"stm r2!, {{{registers}}}"


def _unpack(words: int) -> tuple[str, ...]:
    pairs = _PAIRS[:words]
    load = f"ldm lr!, {{{', '.join(first for first, _ in pairs)}}}" if words > 1 else "ldr r0, [lr], #4"
    store = f"stm r2!, {{{', '.join(name for pair in pairs for name in pair)}}}"
    halves = (
        line
        for first, second in pairs
        for line in (
            f"and {second}, r8, {first}, lsr #4",
            f"and {first}, {first}, r8",
            f"ssub16 {second}, {second}, r9",
            f"ssub16 {first}, {first}, r9",
        )
    )
    return load, *halves, store
