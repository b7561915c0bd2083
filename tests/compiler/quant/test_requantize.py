"""Fixed-point multipliers and rounding, against exact rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.compiler.ir.activation import Activation
from services.compiler.ir.tensor import DType, QuantParams
from services.compiler.quant.requantize import (
    Multiplier,
    activation_range,
    channel_multipliers,
    dense_multiplier,
    quantize_multiplier,
    requantize,
)


def half_away(value: Fraction) -> int:
    """Round to the nearest integer, halves away from zero."""
    magnitude = (abs(value) + Fraction(1, 2)).__floor__()
    return magnitude if value >= 0 else -magnitude


def rounded_twice(acc: int, multiplier: Multiplier) -> int:
    """Scale by the multiplier as the specification's two roundings say; the first rounds -1/2 up, as C's nudge does."""
    shifted = Fraction(acc) * 2 ** max(multiplier.shift, 0)
    high = shifted * multiplier.value / 2**31
    first = -((-high + Fraction(1, 2)).__ceil__() - 1) if high < 0 else (high + Fraction(1, 2)).__floor__()
    return half_away(Fraction(first, 2 ** max(-multiplier.shift, 0)))


MULTIPLIERS = {
    0.0: Multiplier(0, 0),
    1.0: Multiplier(1 << 30, 1),
    0.5: Multiplier(1 << 30, 0),
    0.25: Multiplier(1 << 30, -1),
    3.0: Multiplier(1610612736, 2),
    1.0 - 2.0**-40: Multiplier(1 << 30, 1),
    2.0**-31: Multiplier(1 << 30, -30),
    2.0**-40: Multiplier(0, 0),
    -0.3: Multiplier(-1288490189, -1),
}


@pytest.mark.parametrize("real", MULTIPLIERS)
def test_quantize_multiplier(real: float) -> None:
    assert quantize_multiplier(real) == MULTIPLIERS[real]


@given(st.floats(2.0**-30, 2.0**20))
def test_multiplier_is_within_a_31_bit_rounding(real: float) -> None:
    multiplier = quantize_multiplier(real)
    assert 1 << 30 <= multiplier.value < 1 << 31
    assert Fraction(multiplier.value) * Fraction(2) ** (multiplier.shift - 31) == pytest.approx(
        Fraction(real), rel=2**-31
    )


@given(st.integers(-(1 << 24), 1 << 24), st.floats(2.0**-31, 2.0**6))
def test_requantize_rounds_twice(acc: int, real: float) -> None:
    multiplier = quantize_multiplier(real)
    assert int(requantize(acc, multiplier.value, multiplier.shift)) == rounded_twice(acc, multiplier)


def test_requantize_takes_one_multiplier_a_channel() -> None:
    acc = np.array([[100, 100, 100], [-3, -3, -3]])
    result = requantize(acc, np.array([1 << 30, 1 << 30, 0]), np.array([1, 0, 0]))
    assert result.tolist() == [[100, 50, 0], [-3, -1, 0]]


RANGES = {
    (Activation.NONE, 0.1, 0): (-128, 127),
    (Activation.RELU, 0.1, -10): (-10, 127),
    (Activation.RELU, 0.1, -128): (-128, 127),
    (Activation.RELU6, 0.1, -100): (-100, -40),
    (Activation.RELU6, 6 / 255, -128): (-128, 127),
    (Activation.RELU_N1_TO_1, 0.1, 0): (-10, 10),
    (Activation.RELU6, 4.0, 0): (0, 2),
}


@pytest.mark.parametrize("case", RANGES)
def test_activation_range(case: tuple[Activation, float, int]) -> None:
    activation, scale, zero_point = case
    assert activation_range(activation, QuantParams((scale,), (zero_point,)), DType.INT8) == RANGES[case]


def test_dense_multiplier_multiplies_scales_in_float32() -> None:
    scales = [float(np.float32(s)) for s in (0.1, 0.3, 0.7)]
    source, weights, result = (QuantParams((s,), (0,)) for s in scales)
    (in_double,) = channel_multipliers(source, weights, result, 1)
    assert dense_multiplier(source, weights, result).shift == in_double.shift
    assert dense_multiplier(source, weights, result).value != in_double.value
