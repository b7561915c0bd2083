"""256-entry tables of the operators that map one 8-bit integer to another, built with TFLM's own arithmetic.

Entry i of a table is the output for the input's smallest integer plus i.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import HardSwish, LeakyRelu, Logistic, Quantize, Relu, Table, Tanh
from services.compiler.quant.convolution import clamp
from services.compiler.quant.fixed_point import Int64s, logistic, rounding_divide_by_pot, tanh
from services.compiler.quant.folding import constant_data
from services.compiler.quant.requantize import Multiplier, quantize_multiplier, requantize
from services.compiler.quant.softmax import input_radius
from services.compiler.quant.values import Array, output_zero_point, quant_of

TableOp = Logistic | Tanh | HardSwish | Relu | LeakyRelu | Quantize | Table

_INPUT_INTEGER_BITS = 4


def lookup_table(graph: Graph, op: TableOp) -> Array:
    """Return the 256 outputs, in the output's type, of an operator whose input is int8 or uint8."""
    if isinstance(op, Table):
        return constant_data(graph, op.table).astype(np.int8)
    low, high = graph.tensors[op.input].dtype.value_range
    values = np.arange(low, high + 1, dtype=np.int64)
    centered = values - quant_of(graph, op.input).zero_point[0]
    match op:
        case Logistic():
            return _logistic(graph, op, centered)
        case Tanh():
            return _tanh(graph, op, centered)
        case HardSwish():
            return _hard_swish(graph, op, centered)
        case LeakyRelu():
            return _leaky_relu(graph, op, centered)
        case Relu():
            return _rescale(graph, op, centered, op.activation)
        case Quantize():
            return _rescale(graph, op, centered, Activation.NONE)


def apply_table(graph: Graph, op: TableOp, x: Array) -> Array:
    """Return the operator's output for 8-bit input of any shape."""
    low, _ = graph.tensors[op.input].dtype.value_range
    return lookup_table(graph, op)[x.astype(np.int64) - low]


def rescale_multiplier(graph: Graph, op: Relu | Quantize) -> Multiplier:
    """Return input scale over output scale."""
    return quantize_multiplier(quant_of(graph, op.input).scale[0] / quant_of(graph, op.output).scale[0])


def rescale(graph: Graph, op: Relu | Quantize, x: Array) -> Array:
    """Return an integer input of any width brought to the output's scale and type."""
    activation = op.activation if isinstance(op, Relu) else Activation.NONE
    return _rescale(graph, op, x.astype(np.int64) - quant_of(graph, op.input).zero_point[0], activation)


def _rescale(graph: Graph, op: Relu | Quantize, centered: Int64s, activation: Activation) -> Array:
    multiplier = rescale_multiplier(graph, op)
    scaled = requantize(centered, multiplier.value, multiplier.shift) + output_zero_point(graph, op)
    return clamp(graph, op.output, activation, scaled)


@dataclass(frozen=True, slots=True)
class LeakyReluParams:
    """Input scale over output scale, and the same times alpha (which may be negative)."""

    identity: Multiplier
    alpha: Multiplier


def leaky_relu_params(graph: Graph, op: LeakyRelu) -> LeakyReluParams:
    """Return the two multipliers; TFLM divides in float32 here before it widens."""
    source, result = (np.float32(quant_of(graph, t).scale[0]) for t in (op.input, op.output))
    alpha = source * np.float32(op.alpha) / result
    return LeakyReluParams(quantize_multiplier(float(source / result)), quantize_multiplier(float(alpha)))


def _leaky_relu(graph: Graph, op: LeakyRelu, centered: Int64s) -> Array:
    params = leaky_relu_params(graph, op)
    positive = requantize(centered, params.identity.value, params.identity.shift)
    negative = requantize(centered, params.alpha.value, params.alpha.shift)
    scaled = np.where(centered >= 0, positive, negative) + output_zero_point(graph, op)
    return clamp(graph, op.output, Activation.NONE, scaled)


def _logistic(graph: Graph, op: Logistic, centered: Int64s) -> Array:
    inside, radius = _to_q4(graph, op, centered)
    fraction = rounding_divide_by_pot(logistic(inside, _INPUT_INTEGER_BITS), 31 - 8) - 128
    return _saturate_outside(fraction, centered, radius)


def _tanh(graph: Graph, op: Tanh, centered: Int64s) -> Array:
    inside, radius = _to_q4(graph, op, centered)
    fraction = rounding_divide_by_pot(tanh(inside, _INPUT_INTEGER_BITS), 31 - 7)
    return _saturate_outside(fraction, centered, radius)


def _to_q4(graph: Graph, op: Logistic | Tanh, centered: Int64s) -> tuple[Int64s, int]:
    """Return the input in Q4.27 (zero where outside) and the radius from which the output saturates."""
    real = quant_of(graph, op.input).scale[0] * (1 << (31 - _INPUT_INTEGER_BITS))
    multiplier = quantize_multiplier(real)
    radius = input_radius(_INPUT_INTEGER_BITS, multiplier.shift)
    inside = np.where(np.abs(centered) < radius, centered, 0)
    return requantize(inside, multiplier.value, multiplier.shift), radius


def _saturate_outside(values: Int64s, centered: Int64s, radius: int) -> Array:
    clipped = np.clip(values, -128, 127)
    return np.where(centered <= -radius, -128, np.where(centered >= radius, 127, clipped)).astype(np.int8)


@dataclass(frozen=True, slots=True)
class HardSwishParams:
    """16-bit multipliers of TFLM's HardSwish: input to output scale (shift <= 0), and input to [-1, 1] over [-3, 3]."""

    output: Multiplier
    reluish: Multiplier


def hard_swish_params(graph: Graph, op: HardSwish) -> HardSwishParams:
    """Return the two multipliers, with values rounded to 16 bits."""
    source, result = (np.float32(quant_of(graph, t).scale[0]) for t in (op.input, op.output))
    hires = np.float32(1.0 / 128.0) * source
    reluish_scale = np.float32(3.0) / np.float32(32768.0)
    return HardSwishParams(_to_16_bits(float(hires / result)), _to_16_bits(float(hires / reluish_scale)))


def _to_16_bits(real: float) -> Multiplier:
    wide = quantize_multiplier(real)
    return Multiplier(min((wide.value + (1 << 15)) >> 16, (1 << 15) - 1), wide.shift)


def _hard_swish(graph: Graph, op: HardSwish, centered: Int64s) -> Array:
    params = hard_swish_params(graph, op)
    hires = centered << 7
    preshift = _high_mul_16(hires, params.output.value)
    exponent = params.reluish.shift
    gate = _saturate_16(hires << (exponent - 1)) if exponent > 0 else hires
    gate = _high_mul_16(gate, params.reluish.value)
    gate = _saturate_16(gate << 1) if exponent > 0 else rounding_divide_by_pot(gate, -exponent)
    gate = (gate + (1 << 15)) >> 1
    product = gate * preshift
    truncated = np.sign(product) * (np.abs(product) >> 15)
    result = rounding_divide_by_pot(truncated, -params.output.shift) + quant_of(graph, op.output).zero_point[0]
    return clamp(graph, op.output, Activation.NONE, result)


def _high_mul_16(a: Int64s, b: int) -> Int64s:
    """Return round(a * b / 2**15), half away from zero; b is never -32768, so nothing saturates."""
    product = a * b
    nudged = product + np.where(product >= 0, 1 << 14, 1 - (1 << 14))
    rounded: Int64s = np.sign(nudged) * (np.abs(nudged) >> 15)
    return rounded


def _saturate_16(values: Int64s) -> Int64s:
    return np.clip(values, -(1 << 15), (1 << 15) - 1)
