"""Reference of Softmax on int8: the fixed-point exponential and reciprocal of TFLM."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

import numpy as np

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Softmax
from services.compiler.quant.fixed_point import (
    Int64s,
    exp_on_negative_values,
    one_over_one_plus_x,
    rounding_divide_by_pot,
    saturating_rounding_doubling_high_mul,
    wrap_int32,
)
from services.compiler.quant.requantize import Multiplier, quantize_multiplier
from services.compiler.quant.values import Array, quant_of

SCALED_DIFF_INTEGER_BITS = 5
ACCUMULATION_INTEGER_BITS = 12


@dataclass(frozen=True, slots=True)
class SoftmaxParams:
    """Differences to the row's maximum, times `multiplier`, are Q5.26; those below `diff_min` count as zero."""

    multiplier: Multiplier
    diff_min: int


def softmax_params(graph: Graph, op: Softmax) -> SoftmaxParams:
    """Return the input multiplier (beta included, capped) and the smallest difference that matters."""
    beta = float(np.float32(op.beta))
    real = beta * quant_of(graph, op.input).scale[0] * (1 << (31 - SCALED_DIFF_INTEGER_BITS))
    multiplier = quantize_multiplier(min(real, float((1 << 31) - 1)))
    return SoftmaxParams(multiplier, -input_radius(SCALED_DIFF_INTEGER_BITS, multiplier.shift))


def input_radius(integer_bits: int, left_shift: int) -> int:
    """Return the largest input magnitude that stays inside Q`integer_bits` after the left shift."""
    return floor(((1 << integer_bits) - 1) * (1 << (31 - integer_bits)) / 2.0**left_shift)


def softmax(graph: Graph, op: Softmax, x: Array) -> Array:
    """Return the softmax over the last axis: scale 1/256, zero point -128."""
    params = softmax_params(graph, op)
    values = x.astype(np.int64)
    diff = values - values.max(axis=-1, keepdims=True)
    counted = diff >= params.diff_min
    exps = np.where(counted, exp_of_difference(np.maximum(diff, params.diff_min), params), 0)
    sums = np.where(counted, rounding_divide_by_pot(exps, ACCUMULATION_INTEGER_BITS), 0).sum(axis=-1, keepdims=True)
    reciprocal, bits_over_unit = _reciprocal(sums)
    scaled = saturating_rounding_doubling_high_mul(reciprocal, exps)
    result = rounding_divide_by_pot(scaled, bits_over_unit + 31 - 8) - 128
    return np.where(counted, np.clip(result, -128, 127), -128).astype(np.int8)


def exp_of_difference(diff: Int64s, params: SoftmaxParams) -> Int64s:
    """Return exp of differences to the row's maximum, not below `diff_min`, in Q0.31."""
    shifted = wrap_int32(diff << params.multiplier.shift)
    scaled = saturating_rounding_doubling_high_mul(shifted, params.multiplier.value)
    return exp_on_negative_values(scaled, SCALED_DIFF_INTEGER_BITS)


def _reciprocal(sums: Int64s) -> tuple[Int64s, Int64s]:
    """Return 1 / sum as a Q0.31 mantissa and the bits by which the sum exceeds the unit (sums in Q12.19)."""
    _, bit_length = np.frexp(sums.astype(np.float64))
    headroom_plus_one = 32 - bit_length.astype(np.int64)
    fraction = ((sums << headroom_plus_one) & 0xFFFFFFFF) - (1 << 31)
    return one_over_one_plus_x(fraction), ACCUMULATION_INTEGER_BITS - headroom_plus_one
