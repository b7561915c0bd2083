"""Between the model's own types and axes and the C code's: QUANTIZE, DEQUANTIZE and TRANSPOSE on the host.

Arithmetic is TFLM's, in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from services.evaluator.manifest import TensorSpec

Array = npt.NDArray[Any]

# Far outside every integer type here, and exact in float32.
_LOWEST, _HIGHEST = np.float32(-(2.0**30)), np.float32(2.0**30)


def to_c(spec: TensorSpec, array: Array) -> Array:
    """Return samples [N, ...] in the C code's type and order of axes.

    float32 -> int8/uint8/int16: divide in float32, round half away from zero, add the zero point, clamp.
    uint8 <-> int8: the same number under the other zero point, 128 apart.
    """
    array = array if _same_order(spec) else _to_c_order(spec, array)
    if spec.dtype == spec.model_dtype:
        return array
    if spec.model_dtype == "float32":
        return quantize(array, np.float32(spec.scale or 1.0), spec.zero_point or 0, np.dtype(spec.dtype))
    return _shift(array, np.dtype(spec.dtype))


def from_c(spec: TensorSpec, array: Array) -> Array:
    """Return outputs [N, ...] in the model's own type and order of axes: (q - zero_point) * scale in float32."""
    array = array if _same_order(spec) else _from_c_order(spec, array)
    if spec.dtype == spec.model_dtype:
        return array
    if spec.model_dtype == "float32":
        centered = (array.astype(np.int32) - np.int32(spec.zero_point or 0)).astype(np.float32)
        product: npt.NDArray[np.float32] = np.multiply(centered, np.float32(spec.scale or 1.0), dtype=np.float32)
        return product
    return _shift(array, np.dtype(spec.model_dtype))


def _same_order(spec: TensorSpec) -> bool:
    return spec.permutation is None and spec.declared == spec.shape


def _to_c_order(spec: TensorSpec, array: Array) -> Array:
    axes = spec.permutation or tuple(range(len(spec.shape)))
    source = tuple(spec.shape[axes.index(axis)] for axis in range(len(axes)))
    return _moved(array, source, axes).reshape(len(array), *(spec.shape[1:] if spec.shape[0] == 1 else spec.shape))


def _from_c_order(spec: TensorSpec, array: Array) -> Array:
    axes = spec.permutation or tuple(range(len(spec.shape)))
    return _moved(array, spec.shape, axes).reshape(len(array), *spec.sample)


def _moved(array: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """Return samples, each of a shape, with the axes of each in another order."""
    return array.reshape(len(array), *shape).transpose(0, *(axis + 1 for axis in axes))


def quantize(array: Array, scale: np.float32, zero_point: int, dtype: np.dtype[Any]) -> Array:
    """Quantize as TFLM's AffineQuantize does, bit for bit."""
    with np.errstate(over="ignore"):  # infinity is clamped like any large number
        divided = np.clip(array.astype(np.float32) / scale, _LOWEST, _HIGHEST)
    whole = np.trunc(divided)
    # divided - whole is exact, where adding 0.5 first would round 0.49999997 up.
    rounded = whole + np.where(np.abs(divided - whole) >= np.float32(0.5), np.sign(divided), np.float32(0.0))
    limits = np.iinfo(dtype)
    moved: Array = np.clip(rounded.astype(np.float64) + zero_point, limits.min, limits.max).astype(dtype)
    return moved


def _shift(array: Array, dtype: np.dtype[Any]) -> Array:
    offset = np.iinfo(dtype).min - np.iinfo(array.dtype).min
    return (array.astype(np.int32) + offset).astype(dtype)
