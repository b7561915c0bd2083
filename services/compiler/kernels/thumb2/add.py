"""Element-wise addition, four elements a word, with TensorFlow Lite's arithmetic.

The input of the larger scale has the multiplier 1/2: its scaled value is the byte, less its zero point, << 19.
Source: TensorFlow Lite reference_integer_ops::Add (left shift 20, both inputs scaled to twice the larger scale).
"""

from __future__ import annotations

from dataclasses import dataclass

from services.compiler.kernels.thumb2.assembly import Routine


@dataclass(frozen=True, slots=True)
class AddShape:
    """What a routine is made for: right shifts of the scaled input and of the output, zero point, odd elements."""

    in_shift: int
    out_shift: int
    out_zero_point: int
    tail: int


def add(name: str, shape: AddShape) -> Routine:
    """Return `name(plain, scaled, out, params)`; `plain` is the input of the larger scale.

    `params` is four int32: both inputs' negated zero points (plain, scaled), the scaled input's multiplier, the
    output's multiplier, then the number of elements in whole words.
    """
    body = (
        "ldm r3, {r4, r5, r6, r7, r12}",
        "add r12, r2, r12",
        "cmp r2, r12",
        "beq 2f",
        "1:",
        "ldr r8, [r0], #4",
        "ldr r10, [r1], #4",
        *(line for byte in range(4) for line in _element(shape, byte)),
        "cmp r2, r12",
        "bne 1b",
        "2:",
        *(line for _ in range(shape.tail) for line in ("ldrb r8, [r0], #1", "ldrb r10, [r1], #1", *_element(shape, 0))),
    )
    prototype = f"void {name}(const int8_t *plain, const int8_t *scaled, int8_t *out, const int32_t *params)"
    return Routine(name, prototype, body)


def supported(shape: AddShape) -> bool:
    """Whether the shifts are in the range that the code is exact for."""
    return 0 <= shape.in_shift <= 24 and 1 <= shape.out_shift <= 24


def _element(shape: AddShape, byte: int) -> tuple[str, ...]:
    rotate = f", ror #{8 * byte}" if byte else ""
    offset = 2 * shape.out_zero_point + 1
    shift = shape.in_shift
    return (
        f"sxtab r11, r5, r10{rotate}",
        f"sxtab r9, r4, r8{rotate}",
        "lsl r11, r11, #21",
        "smmulr r11, r11, r6",
        *(
            ("add r11, r11, r11, asr #31", f"add r11, r11, #{1 << (shift - 1)}", f"asr r11, r11, #{shift}")
            if shift
            else ()
        ),
        "add r11, r11, r9, lsl #19",
        "lsl r11, r11, #1",
        "smmulr r11, r11, r7",
        "add r11, r11, r11, asr #31",
        f"{'add' if offset > 0 else 'sub'} r11, r11, #{abs(offset) << (shape.out_shift - 1)}",
        f"ssat r11, #8, r11, asr #{shape.out_shift}",
        "strb r11, [r2], #1",
    )
