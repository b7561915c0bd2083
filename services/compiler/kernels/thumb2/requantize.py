"""The end of every kernel with weights: doubled accumulator in, int8 out, exactly TensorFlow Lite's double rounding.

SaturatingRoundingDoublingHighMul(x, m) is floor((x * m + 2^30) / 2^31), which is SMMULR of 2x and m.
RoundingDivideByPOT(y, e) rounds ties away from zero: (y + (y >> 31) + 2^(e-1)) >> e. The output's zero point is
folded into the constant added before the shift. Where the output is clamped at its zero point from below (a fused
ReLU), negative values all become the zero point, so ties may round up, and SMMLAR multiplies and adds at once.
Sources: gemmlowp fixedpoint.h; Armv7-M Architecture Reference Manual, SMMULR and SMMLAR.
"""

from __future__ import annotations

from dataclasses import dataclass

# (zero_point << e) + 2^(e-1) and what is added to it stay far inside 32 bits
MAX_RIGHT_SHIFT = 20


@dataclass(frozen=True, slots=True)
class Requantize:
    """The instructions that bring one doubled accumulator to int8; `relu` picks the shorter form."""

    relu: bool

    def lines(self, register: str, multiplier: str, addend: str, shift: str) -> tuple[str, ...]:
        """Return the instructions; the result is left in `register`, the other registers are kept."""
        rounded: tuple[str, ...]
        if self.relu:
            rounded = (f"smmlar {register}, {register}, {multiplier}, {addend}",)
        else:
            rounded = (
                f"smmulr {register}, {register}, {multiplier}",
                f"add {register}, {register}, {register}, asr #31",
                f"add {register}, {register}, {addend}",
            )
        return (*rounded, f"asr {register}, {register}, {shift}", f"ssat {register}, #8, {register}")


def addend(zero_point: int, right_shift: int) -> int:
    """Return the constant added before the right shift: half a unit, and the zero point."""
    if not 1 <= right_shift <= MAX_RIGHT_SHIFT:
        raise ValueError(f"right shift is {right_shift}: must be 1 to {MAX_RIGHT_SHIFT}")
    return (1 << (right_shift - 1)) + zero_point * (1 << right_shift)
