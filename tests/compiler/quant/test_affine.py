"""Quantize and Dequantize of the host."""

from __future__ import annotations

import numpy as np

from services.compiler.ir.tensor import DType, QuantParams
from services.compiler.quant.affine import dequantize, quantize

HALF = QuantParams((0.5,), (3,))


def test_quantize_rounds_halves_away_from_zero() -> None:
    values = np.array([0.25, -0.25, 0.75, -0.75, 0.2499999, 0.0], np.float32)
    assert quantize(values, HALF, DType.INT8).tolist() == [4, 2, 5, 1, 3, 3]


def test_quantize_keeps_the_float_just_below_one_half() -> None:
    just_below = np.nextafter(np.float32(0.5), np.float32(0))
    assert quantize(np.array([just_below]), QuantParams((1.0,), (0,)), DType.INT8).tolist() == [0]


def test_quantize_saturates_and_maps_nan_to_zero() -> None:
    values = np.array([1e30, -1e30, np.inf, -np.inf, np.nan, 900.0], np.float32)
    assert quantize(values, HALF, DType.INT8).tolist() == [127, -128, 127, -128, 3, 127]
    assert quantize(values, HALF, DType.UINT8).tolist() == [255, 0, 255, 0, 3, 255]


def test_dequantize_is_exact_in_float32() -> None:
    quant = QuantParams((float(np.float32(0.1)),), (-7,))
    values = np.arange(-128, 128, dtype=np.int8)
    expected = (values.astype(np.float32) + np.float32(7)) * np.float32(0.1)
    assert np.array_equal(dequantize(values, quant), expected)
