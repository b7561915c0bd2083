"""Reference of Add, Sub, Mul, Maximum, Minimum and PRelu on int8, with numpy broadcasting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Add, Maximum, Minimum, Mul, PRelu, Sub
from services.compiler.ir.tensor import DType
from services.compiler.quant.convolution import clamp
from services.compiler.quant.fixed_point import Int64s
from services.compiler.quant.requantize import Multiplier, quantize_multiplier, requantize
from services.compiler.quant.values import Array, output_zero_point, quant_of

# How far TFLM raises both inputs before it brings them to their common scale.
_INPUT_SHIFTS = {DType.INT8: 20, DType.INT16: 15}


@dataclass(frozen=True, slots=True)
class AddParams:
    """Both inputs are shifted left, brought to twice the larger scale, summed and brought to the output's.

    Every multiplier is at most 1, so every shift is zero or negative.
    """

    left: Multiplier
    right: Multiplier
    output: Multiplier


def add_params(graph: Graph, op: Add | Sub) -> AddParams:
    """Return the three multipliers of a sum or difference."""
    left, right = (quant_of(graph, t).scale[0] for t in op.inputs)
    twice_max = 2 * max(left, right)
    output = twice_max / ((1 << input_shift(graph, op)) * quant_of(graph, op.output).scale[0])
    return AddParams(*(quantize_multiplier(r) for r in (left / twice_max, right / twice_max, output)))


def input_shift(graph: Graph, op: Add | Sub) -> int:
    """Return by how many bits both inputs are raised."""
    return _INPUT_SHIFTS[graph.tensors[op.output].dtype]


def add(graph: Graph, op: Add | Sub, a: Array, b: Array) -> Array:
    """Return a + b, or a - b for Sub."""
    params = add_params(graph, op)
    left = _centered(graph, op, 0, a) << input_shift(graph, op)
    right = _centered(graph, op, 1, b) << input_shift(graph, op)
    scaled_left = requantize(left, params.left.value, params.left.shift)
    scaled_right = requantize(right, params.right.value, params.right.shift)
    total = scaled_left - scaled_right if isinstance(op, Sub) else scaled_left + scaled_right
    result = requantize(total, params.output.value, params.output.shift)
    return clamp(graph, op.output, op.activation, result + output_zero_point(graph, op))


def mul_multiplier(graph: Graph, op: Mul) -> Multiplier:
    """Return the multiplier of a product."""
    left, right = (quant_of(graph, t).scale[0] for t in op.inputs)
    return quantize_multiplier(left * right / quant_of(graph, op.output).scale[0])


def mul(graph: Graph, op: Mul, a: Array, b: Array) -> Array:
    """Return a * b."""
    multiplier = mul_multiplier(graph, op)
    product = _centered(graph, op, 0, a) * _centered(graph, op, 1, b)
    result = requantize(product, multiplier.value, multiplier.shift)
    return clamp(graph, op.output, op.activation, result + output_zero_point(graph, op))


def extremum(op: Maximum | Minimum, a: Array, b: Array) -> Array:
    """Return the larger (Maximum) or smaller (Minimum) of a and b, which share a quantization."""
    return np.asarray(np.maximum(a, b) if isinstance(op, Maximum) else np.minimum(a, b))


@dataclass(frozen=True, slots=True)
class PReluParams:
    """Input scale over output scale, and the same times alpha's scale for values below zero."""

    identity: Multiplier
    alpha: Multiplier


def prelu_params(graph: Graph, op: PRelu) -> PReluParams:
    """Return the two multipliers."""
    source, alpha, result = (quant_of(graph, t).scale[0] for t in (op.input, op.alpha, op.output))
    return PReluParams(quantize_multiplier(source / result), quantize_multiplier(source * alpha / result))


def prelu(graph: Graph, op: PRelu, x: Array, alpha: Array) -> Array:
    """Return x where it is not below zero, else alpha * x."""
    params = prelu_params(graph, op)
    centered = _centered(graph, op, 0, x)
    positive = requantize(centered, params.identity.value, params.identity.shift)
    negative = requantize(centered * _centered(graph, op, 1, alpha), params.alpha.value, params.alpha.shift)
    scaled = np.where(centered >= 0, positive, negative) + output_zero_point(graph, op)
    return clamp(graph, op.output, Activation.NONE, scaled)


def _centered(graph: Graph, op: Add | Sub | Mul | PRelu, index: int, values: Array) -> Int64s:
    return values.astype(np.int64) - quant_of(graph, op.inputs[index]).zero_point[0]
