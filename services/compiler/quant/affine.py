"""Reference of Quantize from float and Dequantize to float, in float32 as TFLM computes them.

The host runs the same two functions when the graph's float edges are stripped.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.compiler.ir.tensor import DType, QuantParams
from services.compiler.quant.values import Array


def quantize(values: npt.NDArray[np.float32], quant: QuantParams, dtype: DType) -> Array:
    """Return round(values / scale), half away from zero, plus the zero point, clamped to `dtype`.

    Quotients outside int32, where C leaves the conversion undefined, saturate; NaN becomes the zero point.
    """
    ratio = values.astype(np.float32) / np.float32(quant.scale[0])
    whole = np.trunc(ratio)
    with np.errstate(invalid="ignore"):  # infinity minus infinity is no fraction
        rounded = whole + np.where(np.abs(ratio - whole) >= np.float32(0.5), np.sign(ratio), np.float32(0.0))
    low, high = dtype.value_range
    finite = np.clip(np.nan_to_num(rounded.astype(np.float64), nan=0.0), -(2.0**31), 2.0**31)
    integers: Array = np.clip(finite.astype(np.int64) + quant.zero_point[0], low, high).astype(dtype.numpy)
    return integers


def dequantize(values: Array, quant: QuantParams) -> npt.NDArray[np.float32]:
    """Return (values - zero_point) * scale in float32."""
    centered = values.astype(np.int64) - quant.zero_point[0]
    return (centered.astype(np.float64) * quant.scale[0]).astype(np.float32)
