"""One channel of an image into rows of an int16 plane, where depthwise convolutions find it."""

from __future__ import annotations

from dataclasses import dataclass

from services.compiler.kernels.thumb2.assembly import Routine

IMAGE_ROWS, _COLUMNS = "1", "2"
# behind the loop over columns, and behind four, two and one of what it leaves
_LOOP_END, _FOUR_END, _TWO_END, _ONE_END = "3", "4", "5", "6"
_REGISTERS = ("r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11")
_MAX_POST_INDEX = 255
_ARGUMENTS = "int16_t *plane, const int8_t *in, int32_t rows"


@dataclass(frozen=True, slots=True)
class GatherShape:
    """What a routine is made for: columns and channels (the step in bytes) of the image, columns of padding before
    them, and the plane's row, which holds every `phases`th column together.
    """

    width: int
    channels: int
    left: int
    plane_w: int
    phases: int = 1

    @property
    def together(self) -> int:
        """Columns that are loaded before they are stored: as many of every phase."""
        return self.phases * max(1, len(_REGISTERS) // self.phases)


def gather(name: str, shape: GatherShape) -> Routine:
    """Return `name(plane, in, rows)`: one channel of `rows` rows of the image, int8 to int16, to rows of the
    plane; the image's columns are known.
    """
    loop, left = divmod(shape.width, shape.together)
    first = shape.left // shape.phases
    body = [f"add r0, r0, #{2 * first}"] if first else []
    body.append(f"{IMAGE_ROWS}:")
    if loop > 1:
        body += [f"mov r3, #{loop}", f"{_COLUMNS}:"]
    if loop:
        body += _columns(shape, shape.together)
    if loop > 1:
        body += ["subs r3, r3, #1", f"bne {_COLUMNS}b"]
    body += _columns(shape, left)
    # what is left has advanced the plane of one phase only
    stored = shape.width if shape.phases == 1 else loop * shape.together // shape.phases
    gap = 2 * (shape.plane_w - stored)
    body += [f"add r0, r0, #{gap}"] if gap else []
    body += ["subs r2, r2, #1", f"bne {IMAGE_ROWS}b"]
    return Routine(name, f"void {name}({_ARGUMENTS})", tuple(body), loops=((_COLUMNS, loop),))


@dataclass(frozen=True, slots=True)
class ColumnsShape:
    """What a routine is made for that gathers any columns: channels and bytes of a row of the image, plane width."""

    channels: int
    row_bytes: int
    plane_w: int


def gather_columns(name: str, shape: ColumnsShape) -> Routine:
    """Return `name(plane, in, rows, columns)`: the same for a part of the image's columns, behind those of padding."""
    eight = _REGISTERS
    four, two, one = eight[:4], eight[:2], eight[:1]
    body = [
        "ldr r12, [r3, #4]",
        "ldr r3, [r3, #0]",
        "add r0, r0, r3, lsl #1",
        f"movw lr, #{shape.channels}",
        "mul lr, r12, lr",
        f"movw r3, #{shape.row_bytes}",
        "sub lr, r3, lr",
        f"{IMAGE_ROWS}:",
        "lsrs r3, r12, #3",
        f"beq {_LOOP_END}f",
        f"{_COLUMNS}:",
        *_words_of(eight, shape.channels),
        "subs r3, r3, #1",
        f"bne {_COLUMNS}b",
        f"{_LOOP_END}:",
        "lsls r3, r12, #30",  # two bits of the count are left, the third is the carry
        f"bcc {_FOUR_END}f",
        *_words_of(four, shape.channels),
        f"{_FOUR_END}:",
        f"bpl {_TWO_END}f",
        *_words_of(two, shape.channels),
        f"{_TWO_END}:",
        "tst r12, #1",
        f"beq {_ONE_END}f",
        *_words_of(one, shape.channels),
        f"{_ONE_END}:",
        f"add r0, r0, #{2 * shape.plane_w}",
        "sub r0, r0, r12, lsl #1",
        "add r1, r1, lr",
        "subs r2, r2, #1",
        f"bne {IMAGE_ROWS}b",
    ]
    return Routine(name, f"void {name}({_ARGUMENTS}, const tf_columns *columns)", tuple(body))


def column_turns(count: int) -> dict[str, int]:
    """Return how often what stands at, or is skipped to, a label of such a routine runs for so many columns."""
    skipped = {_FOUR_END: count >> 2 & 1, _TWO_END: count >> 1 & 1, _ONE_END: count & 1}
    return {_COLUMNS: count // 8, _LOOP_END: 1 if count >= 8 else 0, **skipped}


def _words_of(registers: tuple[str, ...], channels: int) -> list[str]:
    return [*(line for register in registers for line in _load(register, channels)), *_store_words(registers)]


def _columns(shape: GatherShape, count: int) -> list[str]:
    code: list[str] = []
    for first in range(0, count, len(_REGISTERS)):
        registers = _REGISTERS[: count - first]
        for register in registers:
            code += _load(register, shape.channels)
        code += _store_words(registers) if shape.phases == 1 else _store_phases(registers, shape, first)
    if shape.phases > 1 and count == shape.together:
        code.append(f"add r0, r0, #{2 * count // shape.phases}")
    return code


def _load(register: str, channels: int) -> tuple[str, ...]:
    if channels <= _MAX_POST_INDEX:
        return (f"ldrsb {register}, [r1], #{channels}",)
    return f"ldrsb {register}, [r1]", f"add r1, r1, #{channels}"


def _store_words(registers: tuple[str, ...]) -> list[str]:
    pairs = list(zip(registers[0::2], registers[1::2], strict=False))
    code = [f"pkhbt {low}, {low}, {high}, lsl #16" for low, high in pairs]
    # the plane's first interior column may be odd, so words are stored unaligned: STR allows it, STM does not
    code += [f"str {low}, [r0], #4" for low, _ in pairs]
    return [*code, f"strh {registers[-1]}, [r0], #2"] if len(registers) % 2 else code


def _store_phases(registers: tuple[str, ...], shape: GatherShape, first: int) -> list[str]:
    """Return the stores of columns from number `first` of those that are loaded together."""
    code = []
    for column, register in enumerate(registers, shape.left % shape.phases + first):
        place, phase = divmod(column, shape.phases)
        code.append(f"strh {register}, [r0, #{2 * (phase * shape.plane_w // shape.phases + place)}]")
    return code
