"""The end of every kernel with weights: doubled accumulator in, int8 out, exactly TensorFlow Lite's double rounding.

SaturatingRoundingDoublingHighMul(x, m) is floor((x * m + 2^30) / 2^31), which is SMMULR of 2x and m.
RoundingDivideByPOT(y, e) rounds ties away from zero: (y + (y >> 31) + 2^(e-1)) >> e. Shifting by e - 1 first, the
half and the zero point z become one constant of the layer: ((y + (y >> 31)) >> (e-1)) + 2z + 1, and a last shift by
one, which SSAT does on its way. Where the output is clamped at its zero point from below (a fused ReLU), negative
values all become the zero point, so ties may round up and y >> 31 is left out.
Sources: gemmlowp fixedpoint.h; Armv7-M Architecture Reference Manual, SMMULR, SMMLAR and SSAT.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_RIGHT_SHIFT = 31
# where (2 * zero point + 1) << (e - 1) is added to a product, both must stay inside 32 bits
MAX_FUSED_SHIFT = 22
# doubled weights of a depthwise filter, shifted to the left, stay inside 16 bits
MAX_LEFT_SHIFT = 7
# of a byte that holds a depthwise channel's two shifts, the right one in its low bits
RIGHT_SHIFT_BITS = 5


@dataclass(frozen=True, slots=True)
class Requantize:
    """The instructions that bring one doubled accumulator to int8; `relu` picks the shorter form.

    Registers hold the multiplier, e - 1 in the low byte of `shift`, and `offset` = 2 * zero point + 1.
    """

    relu: bool

    def lines(self, registers: tuple[str, ...], multiplier: str, shift: str, offset: str) -> tuple[str, ...]:
        """Return the instructions; the results are left in `registers`, the other registers are kept.

        Several results advance side by side, so that a core with two issue slots fills both.
        """
        steps = (
            "smmulr {0}, {0}, " + multiplier,
            *(() if self.relu else ("add {0}, {0}, {0}, asr #31",)),
            "asr {0}, {0}, " + shift,
            "add {0}, {0}, " + offset,
            "ssat {0}, #8, {0}, asr #1",
        )
        return interleave(steps, registers)


def interleave(steps: tuple[str, ...], registers: tuple[str, ...]) -> tuple[str, ...]:
    """Return every step for each register in turn."""
    return tuple(step.format(register) for step in steps for register in registers)


def offset(zero_point: int) -> int:
    """Return the constant added between the two right shifts: the last half, and the zero point."""
    return 2 * zero_point + 1
