"""The end of every kernel with weights: accumulator in, int8 out, exactly TensorFlow Lite's double rounding.

There is no long multiplication, so x * m is summed from 16-bit halves: x = 2^16 xh + xl, m = 2^16 mh + ml. The high
product h = floor((x * m + 2^30) / 2^31) is 2 xh mh + floor((xl mh + xh ml + floor(xl ml / 2^16) + 2^14) / 2^15).
The inner sum may pass 2^31: where x may be negative 2^30 is taken off it and 2^15 given back later.
RoundingDivideByPOT(h, e) + z is (h + (h < 0 ? -1 : 0) + ((2z + 1) << (e - 1))) >> e. Where h is 0 taking one off
changes nothing, so that the sign may be that of x. Where the output is clamped at its zero point from below (a fused
ReLU), negative x give the zero point at once. Sources: gemmlowp fixedpoint.h; TensorFlow Lite Micro.
"""

from __future__ import annotations

# (2 * zero point + 1) << (e - 1) and the product both stay inside 31 bits
MAX_RIGHT_SHIFT = 22
MAX_SUM_BITS = 29


def rounding_constant(relu: bool) -> tuple[str, ...]:
    """Return the code that leaves what is added to the inner sum in r1; r2 is lost."""
    code = ("movs r1, #1", "lsls r1, r1, #14")
    return code if relu else (*code, "movs r2, #1", "lsls r2, r2, #30", "subs r1, r1, r2")


def channel_constants(relu: bool, twice_zero_point: str) -> tuple[str, ...]:
    """Return the code from multiplier in r4 and right shift in r3 to the halves in r4 and r5 and the offset in r0.

    `twice_zero_point` is where on the stack 2 * output zero point + 1 lies; r1 is lost.
    """
    return (
        "uxth r5, r4",
        "lsrs r4, r4, #16",
        f"ldr r0, {twice_zero_point}",
        "lsls r0, r3",
        "asrs r0, r0, #1",
        *(() if relu else ("movs r1, #1", "lsls r1, r1, #15", "adds r0, r0, r1")),
    )


def requantize(relu: bool, rounding: str, offset: str, zero_point: str) -> tuple[str, ...]:
    """Return the code from the accumulator in r0 to the output in r0; r1 and r2 are lost; uses labels 7 and 8.

    The right shift is in r3, the multiplier's halves, high and low, in r4 and r5.
    `rounding` and `offset` are registers, `zero_point` is where on the stack 2 * output zero point + 1 lies.
    """
    return _with_relu(rounding, offset, zero_point) if relu else _with_any_sign(rounding, offset)


def _inner_sum(rounding: str) -> tuple[str, ...]:
    """Return the code from x in r0 to xh in r0 and the inner sum in r1."""
    return (
        "uxth r1, r0",
        "asrs r0, r0, #16",
        "mov r2, r1",
        "muls r2, r5, r2",
        "lsrs r2, r2, #16",
        "muls r1, r4, r1",
        "adds r1, r1, r2",
        "mov r2, r0",
        "muls r2, r5, r2",
        "adds r1, r1, r2",
        add("r1", rounding),
    )


def _shifted(offset: str) -> tuple[str, ...]:
    """Return the code from xh in r0 and the shifted inner sum in r1 to the output, not yet clamped, in r0."""
    return ("muls r0, r4, r0", "adds r0, r0, r0", "adds r0, r0, r1", add("r0", offset), "asrs r0, r3")


def _with_relu(rounding: str, offset: str, zero_point: str) -> tuple[str, ...]:
    return (
        "cmp r0, #0",
        "blt 7f",
        *_inner_sum(rounding),
        "lsrs r1, r1, #15",
        *_shifted(offset),
        "cmp r0, #127",
        "ble 8f",
        "movs r0, #127",
        "b 8f",
        "7:",
        f"ldr r0, {zero_point}",
        "asrs r0, r0, #1",
        "8:",
    )


def _with_any_sign(rounding: str, offset: str) -> tuple[str, ...]:
    return (
        *_inner_sum(rounding),
        "asrs r1, r1, #15",
        "asrs r2, r0, #31",
        "adds r1, r1, r2",
        *_shifted(offset),
        *clamped_to_int8(),
    )


def clamped_to_int8() -> tuple[str, ...]:
    """Return the code that leaves the nearest int8 of r0 in r0; r1 is lost; uses label 8."""
    return ("sxtb r1, r0", "cmp r1, r0", "beq 8f", "asrs r0, r0, #31", "movs r1, #127", "eors r0, r1", "8:")


def add(target: str, register: str) -> str:
    """Return the addition of a low or high register, which have different encodings."""
    return (
        f"add {target}, {register}"
        if register in ("r8", "r9", "r10", "r11", "r12", "lr")
        else (f"adds {target}, {target}, {register}")
    )
