"""Product of one vector with four channels at a time: fully connected layers.

A halfword holds the weights of two channels, 256 * high + low. The products with the halfwords sum to 256 * H + L,
those with their low bytes to L, and the difference gives H exactly as long as |H| < 2^23: one instruction less to
unpack than two bytes.
"""

from __future__ import annotations

from services.compiler.kernels.thumb1.assembly import low_routine
from services.compiler.kernels.thumb1.requantize import channel_constants, requantize, rounding_constant
from services.compiler.kernels.thumb2.assembly import Routine

# the stack frame: end of the vector, negated depth, next output and their end, 2 * zero point + 1, rounding constant
_END, _DEPTH, _OUT, _OUT_END, _ZERO, _ROUNDING = range(0, 24, 4)
_FRAME = 24
# where the four sums are when the loop is done
_RESULTS = ("r9", "r12", "r11", "lr")


def dot_name(relu: bool, tail: int) -> str:
    """Return the routine's C name; `tail` is the number of outputs modulo 4."""
    return f"tf_dot_thumb1{'_relu' if relu else ''}{'_tail' if tail else ''}_s8"


def dot(relu: bool, tail: int) -> Routine:
    """Return `name(x, weights, out, shape)`: x [depth] int8, out [channels] int8; the shape's x_bytes is the depth.

    Loops: 1 groups of four channels, 2 pairs of values.
    """
    name = dot_name(relu, tail)
    prototype = f"void {name}(const int8_t *x, const uint32_t *weights, int8_t *out, const tf_matrix_shape *shape)"
    body = (
        "mov r6, r1",
        "ldm r3!, {r4, r5, r7}",
        "adds r0, r0, r4",
        f"str r0, [sp, #{_END}]",
        "rsbs r4, r4, #0",
        f"str r4, [sp, #{_DEPTH}]",
        f"str r7, [sp, #{_ZERO}]",
        "mov r7, r2",
        "adds r2, r2, r5",
        f"str r2, [sp, #{_OUT_END}]",
        *rounding_constant(relu),
        f"str r1, [sp, #{_ROUNDING}]",
        "1:",
        f"str r7, [sp, #{_OUT}]",
        "ldm r6!, {r0, r1, r2, r3}",
        *(f"mov r{8 + number}, r{number}" for number in range(4)),
        f"ldr r4, [sp, #{_DEPTH}]",
        f"ldr r5, [sp, #{_END}]",
        "lsrs r0, r4, #1",
        "bcc 2f",
        "ldm r6!, {r0}",
        *_products("r0"),
        "beq 3f",
        "2:",
        "ldm r6!, {r0, r3}",
        *_products("r0"),
        *_products("r3"),
        "bne 2b",
        "3:",
        *_high("r8", "r9", "r12"),
        *_high("r10", "r11", "lr"),
        f"ldr r7, [sp, #{_OUT}]",
        f"ldr r0, [sp, #{_ROUNDING}]",
        "mov r8, r0",
        *(line for register in _RESULTS for line in _output(relu, register, ends=bool(tail))),
        *(() if tail else (f"ldr r0, [sp, #{_OUT_END}]", "cmp r7, r0", "beq 9f")),
        "b 1b",
        "9:",
    )
    return low_routine(name, prototype, body, _FRAME)


def _products(word: str) -> tuple[str, ...]:
    """Return the code that adds a value's products with a word's four weights; Z tells that it was the last value."""
    return (
        "ldrsb r2, [r5, r4]",
        f"sxth r1, {word}",
        "muls r1, r2, r1",
        "add r8, r1",
        f"sxtb r1, {word}",
        "muls r1, r2, r1",
        "add r9, r1",
        f"asrs {word}, {word}, #16",
        f"sxtb r1, {word}",
        "muls r1, r2, r1",
        "add r11, r1",
        f"muls {word}, r2, {word}",
        f"add r10, {word}",
        "adds r4, r4, #1",
    )


def _high(both: str, low: str, high: str) -> tuple[str, ...]:
    return f"mov r0, {both}", f"mov r1, {low}", "subs r0, r0, r1", "asrs r0, r0, #8", f"mov {high}, r0"


def _output(relu: bool, register: str, *, ends: bool) -> tuple[str, ...]:
    """Return the code that stores an output; where any output may be the last, it ends there."""
    return (
        "ldm r6!, {r3, r4}",
        *channel_constants(relu, f"[sp, #{_ZERO}]"),
        "mov r10, r0",
        f"mov r0, {register}",
        *requantize(relu, "r8", "r10", f"[sp, #{_ZERO}]"),
        "strb r0, [r7]",
        "adds r7, r7, #1",
        *((f"ldr r0, [sp, #{_OUT_END}]", "cmp r7, r0", "bne 6f", "b 9f", "6:") if ends else ()),
    )
