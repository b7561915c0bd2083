"""Element-wise addition with TensorFlow Lite's arithmetic.

Both inputs are raised by 2^20 and scaled to twice the larger scale. The input of the larger scale has the multiplier
1/2: its scaled value is the byte, less its zero point, << 19. The other's is floor((b * m + 2^10) / 2^11).
Source: TensorFlow Lite reference_integer_ops::Add.
"""

from __future__ import annotations

from services.compiler.kernels.thumb1.assembly import low_routine
from services.compiler.kernels.thumb1.requantize import clamped_to_int8, rounding_constant
from services.compiler.kernels.thumb2.assembly import SAVED_BYTES, Routine

# the stack frame: rounding constant, offset, the output's right shift, the scaled input's less 1
_ROUNDING, _OFFSET, _SHIFT, _SCALED_SHIFT = range(0, 16, 4)
_FRAME = 16


def add_name(shifted: bool) -> str:
    """Return the routine's C name; `shifted` tells whether the scaled input has a right shift."""
    return f"tf_add_row_thumb1{'_shifted' if shifted else ''}_s8"


def add(shifted: bool) -> Routine:
    """Return `name(plain, scaled, out, params, count)`; `plain` is the input of the larger scale.

    `params` is int32: the scaled input's right shift less 1, the output's right shift, 2 * output zero point + 1, the
    negated zero points of plain and scaled, the multipliers of scaled and output. The scaled input's shift is read only
    where `shifted`. Elements are counted up to 0, from the ends of the rows.
    """
    body = (
        "mov r7, r2",
        f"ldr r4, [sp, #{_FRAME + SAVED_BYTES}]",  # the fifth argument
        "ldm r3!, {r5}",
        f"str r5, [sp, #{_SCALED_SHIFT}]",
        "adds r0, r0, r4",
        "adds r6, r1, r4",
        "adds r7, r7, r4",
        "rsbs r4, r4, #0",
        "mov r5, r0",
        *_constants(),
        "1:",
        *_scaled(shifted),
        "ldrsb r1, [r5, r4]",
        "add r1, r12",
        "lsls r1, r1, #19",
        "adds r0, r0, r1",
        *_requantized(),
        "strb r0, [r7, r4]",
        "adds r4, r4, #1",
        "bne 1b",
    )
    name = add_name(shifted)
    arguments = "const int8_t *plain, const int8_t *scaled, int8_t *out, const int32_t *params, int32_t count"
    return low_routine(name, f"void {name}({arguments})", body, _FRAME)


def _constants() -> tuple[str, ...]:
    """Return the code that leaves zero points in r12 and lr, halves of the multipliers in r8 to r11."""
    return (
        "ldm r3!, {r0, r1}",
        f"str r0, [sp, #{_SHIFT}]",
        "lsls r1, r0",
        "asrs r1, r1, #1",
        "movs r2, #1",
        "lsls r2, r2, #15",
        "adds r1, r1, r2",
        f"str r1, [sp, #{_OFFSET}]",
        "ldm r3!, {r0, r1}",
        "mov r12, r0",
        "mov lr, r1",
        "ldm r3!, {r0, r1}",
        "lsrs r2, r0, #16",
        "mov r8, r2",
        "uxth r0, r0",
        "mov r9, r0",
        "lsrs r2, r1, #16",
        "mov r10, r2",
        "uxth r1, r1",
        "mov r11, r1",
        *rounding_constant(relu=False),
        f"str r1, [sp, #{_ROUNDING}]",
    )


def _scaled(shifted: bool) -> tuple[str, ...]:
    divide = (
        "asrs r1, r0, #31",
        "adds r0, r0, r1",
        f"ldr r1, [sp, #{_SCALED_SHIFT}]",
        "asrs r0, r1",
        "adds r0, r0, #1",
        "asrs r0, r0, #1",
    )
    return (
        "ldrsb r0, [r6, r4]",
        "add r0, lr",
        "mov r1, r9",
        "muls r1, r0, r1",
        "asrs r1, r1, #10",
        "adds r1, r1, #1",
        "asrs r1, r1, #1",
        "mov r2, r8",
        "muls r0, r2, r0",
        "lsls r0, r0, #5",
        "adds r0, r0, r1",
        *(divide if shifted else ()),
    )


def _requantized() -> tuple[str, ...]:
    """Return the code of `requantize` with the multiplier's halves in high registers: r0 to r3 are all there is."""
    return (
        "uxth r1, r0",
        "asrs r0, r0, #16",
        "mov r3, r11",
        "mov r2, r1",
        "muls r2, r3, r2",
        "lsrs r2, r2, #16",
        "muls r3, r0, r3",
        "adds r2, r2, r3",
        "mov r3, r10",
        "muls r1, r3, r1",
        "adds r1, r1, r2",
        f"ldr r2, [sp, #{_ROUNDING}]",
        "adds r1, r1, r2",
        "asrs r1, r1, #15",
        "asrs r2, r0, #31",
        "adds r1, r1, r2",
        "muls r0, r3, r0",
        "adds r0, r0, r0",
        "adds r0, r0, r1",
        f"ldr r1, [sp, #{_OFFSET}]",
        "adds r0, r0, r1",
        f"ldr r1, [sp, #{_SHIFT}]",
        "asrs r0, r1",
        *clamped_to_int8(),
    )
