"""Element-wise addition, four elements a word, with TensorFlow Lite's arithmetic.

The input of the larger scale has the multiplier 1/2: its scaled value is the byte, less its zero point, << 19.
Source: TensorFlow Lite reference_integer_ops::Add (left shift 20, both inputs scaled to twice the larger scale).
"""

from __future__ import annotations

from services.compiler.kernels.thumb2.assembly import Routine

_END = 0
_FRAME = 8


def add_name(shifted: bool) -> str:
    """Return the routine's C name; `shifted` tells whether the scaled input has a right shift."""
    return f"tf_add_row{'_shifted' if shifted else ''}_s8"


def add(shifted: bool) -> Routine:
    """Return `name(plain, scaled, out, params)`; `plain` is the input of the larger scale.

    `params` is int32: both inputs' negated zero points (plain, scaled), the scaled input's multiplier, the output's
    multiplier, the scaled input's right shift less 1, the output's right shift less 1, 2 * output zero point + 1,
    the number of elements. The scaled input's shift is read only where `shifted`.
    """
    body = (
        "ldr r12, [r3, #28]",
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
        *(line for byte in range(4) for line in _element(shifted, byte)),
        "b 1b",
        "2:",
        "cmp r11, #0",
        "beq 3f",
        "ldrb r8, [r0], #1",
        "ldrb r10, [r1], #1",
        *_element(shifted, 0),
        "b 1b",
        "3:",
    )
    name = add_name(shifted)
    prototype = f"void {name}(const int8_t *plain, const int8_t *scaled, int8_t *out, const int32_t *params)"
    return Routine(name, prototype, body, _FRAME)


def _element(shifted: bool, byte: int) -> tuple[str, ...]:
    rotate = f", ror #{8 * byte}" if byte else ""
    divide = ("add r11, r11, r11, asr #31", "asr r11, r11, r3", "add r11, r11, #1", "asr r11, r11, #1")
    return (
        f"sxtab r11, r5, r10{rotate}",
        f"sxtab r9, r4, r8{rotate}",
        "lsl r11, r11, #21",
        "smmulr r11, r11, r6",
        *(divide if shifted else ()),
        "add r11, r11, r9, lsl #19",
        "lsl r11, r11, #1",
        "smmulr r11, r11, r7",
        "add r11, r11, r11, asr #31",
        "asr r11, r11, lr",
        "add r11, r11, r12",
        "ssat r11, #8, r11, asr #1",
        "strb r11, [r2], #1",
    )
