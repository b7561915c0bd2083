"""Fixed-point primitives on int32, vectorized: the rounding and saturation that every int8 kernel rests on.

Source: gemmlowp fixedpoint.h, whose results TFLM's reference kernels inherit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]

INT32_MAX = (1 << 31) - 1
INT32_MIN = -(1 << 31)
ONE_Q0 = INT32_MAX  # 1.0 in Q0.31 saturates to the largest value
_ONE_Q2 = 1 << 29


def wrap_int32(values: npt.ArrayLike) -> Int64s:
    """Return the values as a two's-complement 32-bit register would hold them."""
    wide = np.asarray(values, dtype=np.int64)
    wrapped: Int64s = ((wide + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)
    return wrapped


def saturating_rounding_doubling_high_mul(a: npt.ArrayLike, b: npt.ArrayLike) -> Int64s:
    """Return round(a * b / 2**31), half away from zero, saturated (the vqrdmulh of Arm)."""
    product = np.asarray(a, dtype=np.int64) * np.asarray(b, dtype=np.int64)
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    truncated = np.where(nudged >= 0, nudged >> 31, -((-nudged) >> 31))
    return np.minimum(truncated, INT32_MAX)


def rounding_divide_by_pot(x: npt.ArrayLike, exponent: npt.ArrayLike) -> Int64s:
    """Return round(x / 2**exponent), half away from zero."""
    wide, bits = np.asarray(x, dtype=np.int64), np.asarray(exponent, dtype=np.int64)
    mask = (np.int64(1) << bits) - 1
    threshold = (mask >> 1) + (wide < 0)
    rounded: Int64s = (wide >> bits) + ((wide & mask) > threshold)
    return rounded


def saturating_shift_left(x: npt.ArrayLike, bits: int) -> Int64s:
    """Return x * 2**bits, saturated to int32."""
    shifted: Int64s = np.clip(np.asarray(x, dtype=np.int64) << bits, INT32_MIN, INT32_MAX)
    return shifted


def exp_on_negative_values(a: npt.ArrayLike, integer_bits: int) -> Int64s:
    """Return exp(a) in Q0.31 for a <= 0 given with `integer_bits` integer bits (at most 5)."""
    raw = np.asarray(a, dtype=np.int64)
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    reduced = (raw & (quarter - 1)) - quarter
    result = _exp_between_minus_quarter_and_zero(saturating_shift_left(reduced, integer_bits))
    remainder = reduced - raw
    for exponent, factor in zip(range(-2, 5), _EXP_OF_MINUS_POWERS_OF_TWO, strict=True):
        if integer_bits > exponent:
            bit = 1 << (fraction_bits + exponent)
            result = np.where(remainder & bit, saturating_rounding_doubling_high_mul(result, factor), result)
    return np.where(raw == 0, ONE_Q0, result)


# exp(-2**k) in Q0.31 for k from -2 to 4
_EXP_OF_MINUS_POWERS_OF_TWO = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)


def _exp_between_minus_quarter_and_zero(a: Int64s) -> Int64s:
    """Fourth-order Taylor polynomial around -1/8, in Q0.31."""
    exp_of_minus_eighth, third = 1895147668, 715827883
    mul = saturating_rounding_doubling_high_mul
    x = a + (1 << 28)
    x2 = mul(x, x)
    x3, x4 = mul(x2, x), mul(x2, x2)
    tail = rounding_divide_by_pot(mul(rounding_divide_by_pot(x4, 2) + x3, third) + x2, 1)
    return exp_of_minus_eighth + mul(exp_of_minus_eighth, x + tail)


def _reciprocal_of_half_denominator(a: npt.ArrayLike) -> Int64s:
    """Return 2 / (1 + a) in Q2.29 for a in [0, 1] in Q0.31, by three Newton-Raphson steps."""
    mul = saturating_rounding_doubling_high_mul
    total = np.asarray(a, dtype=np.int64) + ONE_Q0
    half = (total + 1) >> 1
    x = 1515870810 + mul(half, -1010580540)  # 48/17 - 32/17 * half, in Q2.29
    for _ in range(3):
        x = x + saturating_shift_left(mul(x, _ONE_Q2 - mul(half, x)), 2)
    return x


def one_over_one_plus_x(a: npt.ArrayLike) -> Int64s:
    """Return 1 / (1 + a) in Q0.31 for a in [0, 1] in Q0.31."""
    return saturating_shift_left(_reciprocal_of_half_denominator(a), 1)


def one_minus_x_over_one_plus_x(a: npt.ArrayLike) -> Int64s:
    """Return (1 - a) / (1 + a) in Q0.31 for a in [0, 1] in Q0.31."""
    return saturating_shift_left(_reciprocal_of_half_denominator(a) - _ONE_Q2, 2)


def logistic(a: npt.ArrayLike, integer_bits: int) -> Int64s:
    """Return 1 / (1 + exp(-a)) in Q0.31."""
    raw = np.asarray(a, dtype=np.int64)
    positive = one_over_one_plus_x(exp_on_negative_values(-np.abs(raw), integer_bits))
    signed = np.where(raw > 0, positive, ONE_Q0 - positive)
    return np.where(raw == 0, 1 << 30, signed)


def tanh(a: npt.ArrayLike, integer_bits: int) -> Int64s:
    """Return the hyperbolic tangent of a in Q0.31; `integer_bits` at most 4, since the argument is doubled."""
    raw = np.asarray(a, dtype=np.int64)
    magnitude = one_minus_x_over_one_plus_x(exp_on_negative_values(-np.abs(raw), integer_bits + 1))
    signed = np.where(raw < 0, -magnitude, magnitude)
    return np.where(raw == 0, 0, signed)
