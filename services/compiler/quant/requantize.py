"""From accumulators to the output's scale: fixed-point multipliers, rounding and activation clamps.

Source: TensorFlow Lite's 8-bit quantization specification; arithmetic of TFLM's reference kernels (double rounding).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import floor, frexp

import numpy as np
import numpy.typing as npt

from services.compiler.ir.activation import Activation
from services.compiler.ir.tensor import DType, QuantParams
from services.compiler.quant.fixed_point import (
    Int64s,
    rounding_divide_by_pot,
    saturating_rounding_doubling_high_mul,
    wrap_int32,
)


@dataclass(frozen=True, slots=True)
class Multiplier:
    """A positive real number as `value` * 2**(shift - 31): `value` is 0 or in [2**30, 2**31), shift in [-31, 31]."""

    value: int
    shift: int


@lru_cache(maxsize=4096)  # channels and layers share scales while there are no weights
def quantize_multiplier(real: float) -> Multiplier:
    """Return the fixed-point form of a real multiplier; below about 2**-31 it is 0.

    Works on negative numbers too (LeakyRelu's alpha may be one).
    """
    if real == 0.0:
        return Multiplier(0, 0)
    fraction, shift = frexp(real)
    value = round_half_away(fraction * (1 << 31))
    if value == 1 << 31:
        value, shift = value // 2, shift + 1
    return Multiplier(value, shift) if shift >= -31 else Multiplier(0, 0)


def round_half_away(x: float) -> int:
    """Return the nearest integer, halves away from zero (C's `round`)."""
    return floor(x + 0.5) if x >= 0 else -floor(-x + 0.5)


def requantize(acc: npt.ArrayLike, multiplier: npt.ArrayLike, shift: npt.ArrayLike) -> Int64s:
    """Return acc * multiplier * 2**(shift - 31), rounded twice as TFLM's MultiplyByQuantizedMultiplier does.

    `multiplier` and `shift` broadcast against `acc`, so per-channel arrays act on the last axis.
    """
    shifts = np.asarray(shift, dtype=np.int64)
    left, right = np.maximum(shifts, 0), np.maximum(-shifts, 0)
    shifted = wrap_int32(np.asarray(acc, dtype=np.int64) << left)
    return rounding_divide_by_pot(saturating_rounding_doubling_high_mul(shifted, multiplier), right)


def requantize_wide(acc: npt.ArrayLike, multiplier: npt.ArrayLike, shift: npt.ArrayLike) -> Int64s:
    """Return 64-bit sums * multiplier * 2**(shift - 31), rounded once, with 16 bits of the multiplier.

    Source: TFLM's MultiplyByQuantizedMultiplier for int64, which int16 activations with int64 biases go through;
    |acc| < 2**47, shift from -31 to 7.
    """
    bits = 15 - np.asarray(shift, dtype=np.int64)
    product = np.asarray(acc, dtype=np.int64) * reduced(multiplier)
    return wrap_int32((product + (np.int64(1) << (bits - 1))) >> bits)


def reduced(multiplier: npt.ArrayLike) -> Int64s:
    """Return the upper 16 bits of multipliers, rounded, as `requantize_wide` takes them."""
    wide = np.asarray(multiplier, dtype=np.int64)
    return np.where(wide < 0x7FFF0000, (wide + (1 << 15)) >> 16, 0x7FFF)


@lru_cache(maxsize=1024)  # every step of the compiler asks anew
def channel_multipliers(
    input_quant: QuantParams, weights_quant: QuantParams, output_quant: QuantParams, channels: int
) -> tuple[Multiplier, ...]:
    """Return one multiplier an output channel for a convolution.

    Per-tensor weights give every channel the same. Scales are multiplied and divided as doubles.
    """
    scales = weights_quant.scale
    if len(scales) == 1:
        return (quantize_multiplier(input_quant.scale[0] * scales[0] / output_quant.scale[0]),) * channels
    return tuple(quantize_multiplier(input_quant.scale[0] * s / output_quant.scale[0]) for s in scales)


def dense_multiplier(input_quant: QuantParams, weights_quant: QuantParams, output_quant: QuantParams) -> Multiplier:
    """Return the multiplier of a fully connected layer with per-tensor weights.

    TFLM multiplies the input's and the weights' scale in float32 here (not in convolutions), which can move the
    last bit of the multiplier.
    """
    product = np.float32(input_quant.scale[0]) * np.float32(weights_quant.scale[0])
    return quantize_multiplier(float(product) / output_quant.scale[0])


def dense_multipliers(
    input_quant: QuantParams, weights_quant: QuantParams, output_quant: QuantParams, channels: int
) -> tuple[Multiplier, ...]:
    """Return one multiplier an output channel for a fully connected layer, per-channel or per-tensor weights."""
    if len(weights_quant.scale) > 1:
        return channel_multipliers(input_quant, weights_quant, output_quant, channels)
    return (dense_multiplier(input_quant, weights_quant, output_quant),) * channels


def activation_range(activation: Activation, quant: QuantParams, dtype: DType) -> tuple[int, int]:
    """Return the smallest and largest output integer that a fused activation lets through."""
    low, high = dtype.value_range
    match activation:
        case Activation.NONE:
            return low, high
        case Activation.RELU:
            return max(low, quantize_real(0.0, quant)), high
        case Activation.RELU6:
            return max(low, quantize_real(0.0, quant)), min(high, quantize_real(6.0, quant))
        case Activation.RELU_N1_TO_1:
            return max(low, quantize_real(-1.0, quant)), min(high, quantize_real(1.0, quant))


def quantize_real(real: float, quant: QuantParams) -> int:
    """Return the integer nearest to a real number, unclamped, by float32 division."""
    ratio = np.float32(real) / np.float32(quant.scale[0])
    return quant.zero_point[0] + round_half_away(float(ratio))


def as_arrays(multipliers: tuple[Multiplier, ...]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return the values and the shifts of multipliers as two int32 arrays."""
    values = np.array([m.value for m in multipliers], dtype=np.int32)
    return values, np.array([m.shift for m in multipliers], dtype=np.int32)
