"""Matrix multiplication of four pixels with one channel after the other: the inner loop of every convolution.

Two pixels share a word, x = 2^16 * second + first, so that one MULS and one ADD are two multiply-accumulates: a sum
of such products is 2^16 * second sum + first sum, exact as long as the first sum fits 16 bits. The packer knows the
weights, so it knows after which taps it must be split (see `pack.py`); a flag says so, one for two taps. Sums begin at
2^15, which makes the lower half never negative: then (sum >> 16) is the second part exactly, and the first is left
when all second parts are taken off the total of all sums, modulo 2^32.
"""

from __future__ import annotations

from services.compiler.kernels.thumb1.assembly import low_routine
from services.compiler.kernels.thumb1.requantize import channel_constants, requantize, rounding_constant
from services.compiler.kernels.thumb2.assembly import SAVED_BYTES, Routine

# bytes of expanded pixels a tap, and pixels of a tile
TAP_BYTES = 8
TILE_PIXELS = 4
# the stack frame: expanded pixels and their end, the last pixel's next output and their end, channels (the step from
# pixel to pixel), 2 * zero point + 1, the channel's multiplier and shift, the rounding constant, pixels
_X, _X_END, _OUT, _OUT_END, _STEP, _ZERO, _MULTIPLIER, _SHIFT, _ROUNDING, _PIXELS = range(0, 40, 4)
_FRAME = 40
# of two pixels each: sums since the last split, total of all sums, total of the second pixel's sums
_SUMS, _TOTALS, _SECONDS = ("r8", "r9"), ("r10", "r11"), ("r12", "lr")


def gemm_name(relu: bool) -> str:
    """Return the routine's C name."""
    return f"tf_gemm_thumb1{'_relu' if relu else ''}_s8"


def gemm(relu: bool) -> Routine:
    """Return `name(x, weights, out, shape, pixels)`: x [depth][2][second, first] int16, out [pixels][channels] int8.

    `pixels` (1 to 4) are stored. Loops: 1 channels, 2 groups of four taps.
    """
    name = gemm_name(relu)
    prototype = (
        f"void {name}(const uint32_t *x, const uint32_t *weights, int8_t *out, const tf_matrix_shape *shape, "
        "int32_t pixels)"
    )
    body = (
        *_start(relu),
        "1:",
        *_start_channel(),
        *_taps(),
        *_sums(),
        *_outputs(relu),
        f"ldr r0, [sp, #{_OUT}]",
        f"ldr r1, [sp, #{_OUT_END}]",
        "cmp r0, r1",
        "beq 9f",
        "b 1b",
        "9:",
    )
    return low_routine(name, prototype, body, _FRAME)


def _start(relu: bool) -> tuple[str, ...]:
    return (
        "mov r7, r1",
        f"str r0, [sp, #{_X}]",
        "ldm r3!, {r4, r5, r6}",
        "adds r4, r4, r0",
        f"str r4, [sp, #{_X_END}]",
        f"str r5, [sp, #{_STEP}]",
        f"str r6, [sp, #{_ZERO}]",
        f"ldr r4, [sp, #{_FRAME + SAVED_BYTES}]",
        f"str r4, [sp, #{_PIXELS}]",
        "subs r4, r4, #1",
        "muls r4, r5, r4",
        "adds r4, r4, r2",
        f"str r4, [sp, #{_OUT}]",
        "adds r4, r4, r5",
        f"str r4, [sp, #{_OUT_END}]",
        *rounding_constant(relu),
        f"str r1, [sp, #{_ROUNDING}]",
    )


def _start_channel() -> tuple[str, ...]:
    """Return the code from the channel's bias, multiplier, shift with 2^15 * number of splits, and first flags."""
    return (
        "ldm r7!, {r0, r1, r2, r3}",
        f"str r1, [sp, #{_MULTIPLIER}]",
        f"str r2, [sp, #{_SHIFT}]",
        f"ldr r6, [sp, #{_X}]",
        "movs r5, #128",
        "lsls r5, r5, #8",
        *(f"mov {register}, r0" for register in _SECONDS),
        "lsls r1, r0, #16",
        "adds r0, r0, r1",
        "lsrs r2, r2, #15",
        "lsls r2, r2, #15",
        "subs r0, r0, r2",
        *(f"mov {register}, r0" for register in _TOTALS),
        *(f"mov {register}, r5" for register in _SUMS),
    )


def _taps() -> tuple[str, ...]:
    return (
        "2:",
        "ldm r7!, {r4}",
        "sxtb r2, r4",
        *_tap("r2"),
        "asrs r4, r4, #8",
        "sxtb r2, r4",
        *_tap("r2"),
        "asrs r4, r4, #8",
        "lsls r3, r3, #1",
        "bcs 4f",
        "3:",
        "sxtb r2, r4",
        *_tap("r2"),
        "asrs r4, r4, #8",
        *_tap("r4"),
        "lsls r3, r3, #1",
        "bcc 2b",
        *_split(),
        "cmp r3, #0",
        "bne 2b",
        f"ldr r0, [sp, #{_X_END}]",
        "cmp r6, r0",
        "beq 5f",
        "ldm r7!, {r3}",
        "b 2b",
        "4:",
        *_split(),
        "b 3b",
        "5:",
    )


def _tap(weight: str) -> tuple[str, ...]:
    first, second = _SUMS
    return (
        "ldm r6!, {r0, r1}",
        f"muls r0, {weight}, r0",
        f"muls r1, {weight}, r1",
        f"add {first}, r0",
        f"add {second}, r1",
    )


def _split() -> tuple[str, ...]:
    """Return the code that moves the sums to the totals and begins them again."""
    return tuple(
        line
        for total, second, number in zip(_TOTALS, _SECONDS, _SUMS, strict=True)
        for line in (
            f"mov r0, {number}",
            f"mov {number}, r5",
            f"add {total}, r0",
            "asrs r0, r0, #16",
            f"add {second}, r0",
        )
    )


def _sums() -> tuple[str, ...]:
    """Return the code that leaves the first pixels' sums where the totals were."""
    return tuple(
        line
        for total, second in zip(_TOTALS, _SECONDS, strict=True)
        for line in (f"mov r0, {second}", "lsls r0, r0, #16", f"mov r1, {total}", "subs r1, r1, r0", f"mov {total}, r1")
    )


def _outputs(relu: bool) -> tuple[str, ...]:
    """Return the code that stores one channel of 1 to 4 pixels, the last first."""
    accumulators = _SECONDS[1], _TOTALS[1], _SECONDS[0], _TOTALS[0]
    code = [
        f"ldr r4, [sp, #{_MULTIPLIER}]",
        f"ldr r3, [sp, #{_SHIFT}]",
        "uxtb r3, r3",
        *channel_constants(relu, f"[sp, #{_ZERO}]"),
        "mov r9, r0",
        f"ldr r0, [sp, #{_ROUNDING}]",
        "mov r8, r0",
        f"ldr r6, [sp, #{_OUT}]",
        "adds r0, r6, #1",
        f"str r0, [sp, #{_OUT}]",
        f"ldr r0, [sp, #{_PIXELS}]",
        "cmp r0, #3",
        "bhi 3f",
        "beq 4f",
        "cmp r0, #2",
        "beq 5f",
        "b 6f",
    ]
    for label, register in zip((3, 4, 5, 6), accumulators, strict=True):
        code += [f"{label}:", f"mov r0, {register}"]
        code += requantize(relu, "r8", "r9", f"[sp, #{_ZERO}]")
        code += ["strb r0, [r6]"]
        code += [f"ldr r0, [sp, #{_STEP}]", "subs r6, r6, r0"] if label != 6 else []
    return tuple(code)
