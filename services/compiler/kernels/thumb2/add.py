"""Element-wise sums and differences, four elements a word, with TensorFlow Lite's arithmetic.

The input of the larger scale has the multiplier 1/2: its scaled value is the byte, less its zero point, << 19. What a
constant adds is known before: its scaled values, doubled, with the zero point of a plain input among them.
Source: TensorFlow Lite reference_integer_ops::Add (left shift 20, both inputs scaled to twice the larger scale).
"""

from __future__ import annotations

from enum import Enum

from services.compiler.kernels.thumb2.assembly import SAVED_BYTES, Routine

_END, _PERIOD, _CONSTANTS = 0, 4, 8
_FRAME, _CONSTANT_FRAME = 8, 16


class Sum(Enum):
    """What a routine computes of its operands; the value is its name in C."""

    ADD = "add"
    SUB = "sub"  # plain - scaled, or a constant - x
    FROM = "sub_from"  # scaled - plain


class Scaling(Enum):
    """How the input beside a constant gets to the common scale: by << 19, a multiplier, that and a right shift."""

    PLAIN = "plain"
    SCALED = "scaled"
    SHIFTED = "shifted"


_JOIN = {
    Sum.ADD: "add r11, r11, r9, lsl #19",
    Sum.SUB: "rsb r11, r11, r9, lsl #19",
    Sum.FROM: "sub r11, r11, r9, lsl #19",
}
_DIVIDE = ("add r11, r11, r11, asr #31", "asr r11, r11, {0}", "add r11, r11, #1", "asr r11, r11, #1")


def add_name(sum_: Sum, *, shifted: bool) -> str:
    """Return the routine's C name; `shifted` tells whether the scaled input has a right shift."""
    return f"tf_{sum_.value}_row{'_shifted' if shifted else ''}_s8"


def add(sum_: Sum, *, shifted: bool) -> Routine:
    """Return `name(plain, scaled, out, params, count)`; `plain` is the input of the larger scale.

    `params` is int32: both inputs' negated zero points (plain, scaled), the scaled input's multiplier, the output's
    multiplier, the scaled input's right shift less 1, the output's right shift less 1, 2 * output zero point + 1.
    The scaled input's shift is read only where `shifted`.
    """
    body = (
        f"ldr r12, [sp, #{_FRAME + SAVED_BYTES}]",  # the fifth argument
        "add r12, r2, r12",
        f"str r12, [sp, #{_END}]",
        "ldr r12, [r3, #24]",
        "ldr lr, [r3, #20]",
        "ldm r3, {r4, r5, r6, r7}",
        "ldr r3, [r3, #16]",
        "1:",
        f"ldr r11, [sp, #{_END}]",
        "sub r11, r11, r2",
        "cmp r11, #4",
        "blt 2f",
        "ldr r8, [r0], #4",
        "ldr r10, [r1], #4",
        *(line for byte in range(4) for line in _element(sum_, shifted, byte)),
        "b 1b",
        "2:",
        "cmp r11, #0",
        "beq 3f",
        "ldrb r8, [r0], #1",
        "ldrb r10, [r1], #1",
        *_element(sum_, shifted, 0),
        "b 1b",
        "3:",
    )
    name = add_name(sum_, shifted=shifted)
    arguments = "const int8_t *plain, const int8_t *scaled, int8_t *out, const int32_t *params, int32_t count"
    return Routine(name, f"void {name}({arguments})", body, _FRAME)


def _element(sum_: Sum, shifted: bool, byte: int) -> tuple[str, ...]:
    rotate = _rotate(byte)
    return (
        f"sxtab r11, r5, r10{rotate}",
        f"sxtab r9, r4, r8{rotate}",
        "lsl r11, r11, #21",
        "smmulr r11, r11, r6",
        *((line.format("r3") for line in _DIVIDE) if shifted else ()),
        _JOIN[sum_],
        "lsl r11, r11, #1",
        *_output("r11", "r7", "lr", "r12"),
    )


def _rotate(byte: int) -> str:
    return f", ror #{8 * byte}" if byte else ""


def _output(doubled: str, multiplier: str, shift: str, offset: str) -> tuple[str, ...]:
    return (
        f"smmulr {doubled}, {doubled}, {multiplier}",
        f"add {doubled}, {doubled}, {doubled}, asr #31",
        f"asr {doubled}, {doubled}, {shift}",
        f"add {doubled}, {doubled}, {offset}",
        f"ssat {doubled}, #8, {doubled}, asr #1",
        f"strb {doubled}, [r2], #1",
    )


def add_constant_name(sum_: Sum, scaling: Scaling) -> str:
    """Return the routine's C name."""
    return f"tf_{sum_.value}_constant_{scaling.value}_s8"


def add_constant(sum_: Sum, scaling: Scaling) -> Routine:
    """Return `name(x, constants, out, params, count, period)`: constants plus x, or less x (SUB), begun anew after
    every period.

    `params` is int32: the negated zero point of x, its multiplier, the output's multiplier, the right shift of x
    less 1, the output's right shift less 1, 2 * output zero point + 1.
    """
    arguments_at = _CONSTANT_FRAME + SAVED_BYTES
    body = (
        f"ldr r12, [sp, #{arguments_at}]",
        "add r12, r2, r12",
        f"str r12, [sp, #{_END}]",
        f"ldr r12, [sp, #{arguments_at + 4}]",
        f"str r12, [sp, #{_PERIOD}]",
        f"str r1, [sp, #{_CONSTANTS}]",
        "ldr lr, [r3, #20]",
        "ldm r3, {r4, r5, r6, r7}",
        "ldr r3, [r3, #16]",
        "1:",
        f"ldr r12, [sp, #{_PERIOD}]",
        f"ldr r1, [sp, #{_CONSTANTS}]",
        "add r12, r2, r12",
        "2:",
        "sub r11, r12, r2",
        "cmp r11, #4",
        "blt 3f",
        "ldr r8, [r0], #4",
        "ldrd r9, r10, [r1], #8",
        *_beside_constant(sum_, scaling, 0, "r9"),
        *_beside_constant(sum_, scaling, 1, "r10"),
        "ldrd r9, r10, [r1], #8",
        *_beside_constant(sum_, scaling, 2, "r9"),
        *_beside_constant(sum_, scaling, 3, "r10"),
        "b 2b",
        "3:",
        "cmp r11, #0",
        "beq 4f",
        "ldrb r8, [r0], #1",
        "ldr r9, [r1], #4",
        *_beside_constant(sum_, scaling, 0, "r9"),
        "b 2b",
        "4:",
        f"ldr r11, [sp, #{_END}]",
        "cmp r2, r11",
        "bne 1b",
    )
    name = add_constant_name(sum_, scaling)
    arguments = (
        "const int8_t *x, const int32_t *constants, int8_t *out, const int32_t *params, int32_t count, int32_t period"
    )
    return Routine(name, f"void {name}({arguments})", body, _CONSTANT_FRAME)


def _beside_constant(sum_: Sum, scaling: Scaling, byte: int, constant: str) -> tuple[str, ...]:
    join = "sub" if sum_ is Sum.SUB else "add"
    rotate = _rotate(byte)
    if scaling is Scaling.PLAIN:
        scaled: tuple[str, ...] = (f"sxtb r11, r8{rotate}", f"{join} {constant}, {constant}, r11, lsl #20")
    else:
        scaled = (
            f"sxtab r11, r4, r8{rotate}",
            "lsl r11, r11, #21",
            "smmulr r11, r11, r5",
            *((line.format("r7") for line in _DIVIDE) if scaling is Scaling.SHIFTED else ()),
            f"{join} {constant}, {constant}, r11, lsl #1",
        )
    return (*scaled, *_output(constant, "r6", "r3", "lr"))
