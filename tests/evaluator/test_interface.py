"""QUANTIZE and DEQUANTIZE on the host: TFLM's float32 arithmetic, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from services.evaluator.interface import from_c, quantize, to_c
from services.evaluator.manifest import DType, TensorSpec


def spec(dtype: DType, model_dtype: DType, scale: float = 0.5, zero_point: int = 3) -> TensorSpec:
    size = 4 * (2 if dtype == "int16" else 1)
    return TensorSpec(
        name="t", shape=(1, 4), dtype=dtype, scale=scale, zero_point=zero_point, offset_bytes=0, size_bytes=size,
        model_dtype=model_dtype,
    )  # fmt: skip


ROUNDING = {
    # value / scale: expected before the zero point
    "half away from zero": (0.25, 1),
    "minus half away from zero": (-0.25, -1),
    "just below half": (np.nextafter(np.float32(0.25), np.float32(0)), 0),
    "clamped above": (1e30, 124),
    "clamped below": (-1e30, -131),
    "largest float, divided to infinity": (3.4e38, 124),
    "two and a half": (1.25, 3),
}


@pytest.mark.parametrize(("value", "expected"), ROUNDING.values(), ids=ROUNDING.keys())
def test_quantize_rounds_half_away_from_zero(value: float, expected: int) -> None:
    found = to_c(spec("int8", "float32"), np.full((1, 4), value, np.float32))
    assert found.tolist() == [[expected + 3] * 4]
    assert found.dtype == np.int8


def test_quantize_agrees_with_c_roundf_on_random_floats() -> None:
    values = np.random.default_rng(1).normal(0, 20, 20_000).astype(np.float32)
    scale = np.float32(0.0471)
    divided = (values / scale).astype(np.float64)  # float32 division, then exact arithmetic
    exact = np.where(divided >= 0, np.floor(divided + 0.5), np.ceil(divided - 0.5))
    expected = np.clip(exact - 5, -128, 127).astype(np.int8)
    np.testing.assert_array_equal(quantize(values, scale, -5, np.dtype(np.int8)), expected)


def test_dequantize_is_one_float32_product() -> None:
    q = np.arange(-128, 128, dtype=np.int8).reshape(64, 4)
    found = from_c(spec("int8", "float32", scale=0.1), q)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, (q.astype(np.float32) - np.float32(3)) * np.float32(0.1))


def test_uint8_model_with_int8_code_is_a_shift_by_128() -> None:
    values = np.array([[0, 1, 128, 255]], np.uint8)
    inside = to_c(spec("int8", "uint8"), values)
    assert inside.tolist() == [[-128, -127, 0, 127]]
    np.testing.assert_array_equal(from_c(spec("int8", "uint8"), inside), values)


def test_equal_types_pass_unchanged() -> None:
    values = np.array([[1, 2, 3, 4]], np.int8)
    assert to_c(spec("int8", "int8"), values) is values
    assert from_c(spec("int8", "int8"), values) is values
