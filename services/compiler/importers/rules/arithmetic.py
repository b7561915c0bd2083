"""Rules on scales: the fixed-point arithmetic is exact only inside these ranges (TFLM refuses beyond most of them)."""

from __future__ import annotations

from collections.abc import Iterable
from math import isclose, prod

import numpy as np

from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import (
    Add,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    HardSwish,
    LeakyRelu,
    Logistic,
    Maximum,
    Mean,
    Minimum,
    Mul,
    Op,
    PRelu,
    Quantize,
    Relu,
    Softmax,
    Sub,
    Sum,
    Tanh,
)
from services.compiler.ir.tensor import DType, quoted
from services.compiler.quant.convolution import op_multipliers, sums_are_wide
from services.compiler.quant.elementwise import add_params, mul_multiplier, prelu_params
from services.compiler.quant.interpolated import softmax_scale
from services.compiler.quant.lut import hard_swish_params, leaky_relu_params, rescale_multiplier
from services.compiler.quant.pooling import mean_params
from services.compiler.quant.requantize import Multiplier
from services.compiler.quant.softmax import softmax_params
from services.compiler.quant.values import quant_of

Requantizing = Conv2D | DepthwiseConv2D | FullyConnected | Mul | Mean | Sum | Relu | LeakyRelu | PRelu | Quantize


def multipliers_fit(graph: Graph, op: Requantizing) -> str | None:
    """The ratio of input to output scale is below 2**30, with 64-bit sums (int16) below 2**7."""
    if isinstance(op, Quantize) and graph.tensors[op.input].dtype.is_float:
        return None
    wide = isinstance(op, Conv2D | DepthwiseConv2D | FullyConnected) and sums_are_wide(graph, op)
    return _too_large(_multipliers(graph, op), 7 if wide else 30)


def int16_sums_fit(graph: Graph, op: Conv2D | DepthwiseConv2D | FullyConnected) -> str | None:
    """Sums of int16 activations stay below 2**47, in a Conv2D with an int32 bias below 2**31."""
    if graph.tensors[op.input].dtype is not DType.INT16:
        return None
    weights, bits = graph.tensors[op.weights], 47 if sums_are_wide(graph, op) else 31
    data = None if op.bias is None else graph.tensors[op.bias].data
    taps = prod(weights.shape[1:3]) if isinstance(op, DepthwiseConv2D) else prod(weights.shape[1:])
    largest = taps * (1 << 22) + (0 if data is None else int(np.abs(data.astype(np.float64)).max()))
    if largest >= 1 << bits:
        return f"sums may reach {largest}: must stay below 2**{bits} (an int64 bias asks for 64-bit sums)"
    return None


def _multipliers(graph: Graph, op: Requantizing) -> tuple[Multiplier, ...]:
    match op:
        case Conv2D() | DepthwiseConv2D() | FullyConnected():
            return op_multipliers(graph, op)
        case Mul():
            return (mul_multiplier(graph, op),)
        case Mean() | Sum():
            return (mean_params(graph, op).multiplier,)
        case LeakyRelu():
            params = leaky_relu_params(graph, op)
            return params.identity, params.alpha
        case PRelu():
            slopes = prelu_params(graph, op)
            return slopes.identity, slopes.alpha
        case Relu() | Quantize():
            return (rescale_multiplier(graph, op),)


def _too_large(multipliers: Iterable[Multiplier], most: int) -> str | None:
    shift = max(m.shift for m in multipliers)
    return f"input scale over output scale is about 2**{shift}: must be below 2**{most}" if shift > most else None


def sum_scales(graph: Graph, op: Add | Sub) -> str | None:
    """The output's scale is above the larger input scale / 2**19."""
    shift = add_params(graph, op).output.shift
    if shift > 0:
        return f"output scale {quant_of(graph, op.output).scale[0]:g} is too small for the inputs' scales"
    return None


def same_quantization(graph: Graph, op: Concatenation | Maximum | Minimum) -> str | None:
    """All inputs have the output's scale and zero point: bytes are copied."""
    result = quant_of(graph, op.output)
    for t in op.inputs:
        quant = quant_of(graph, t)
        if quant.zero_point != result.zero_point or not isclose(quant.scale[0], result.scale[0], rel_tol=1e-5):
            return f"input {quoted(graph.tensors[t].name)} is quantized unlike the output: put a QUANTIZE before it"
    return None


def no_activation(graph: Graph, op: Concatenation) -> str | None:
    """No activation is fused."""
    if op.activation is not Activation.NONE:
        return f"activation {op.activation.value} is fused: must be a separate operator"
    return None


def softmax_quantization(graph: Graph, op: Softmax) -> str | None:
    """The output has scale 1/256 and zero point -128 (int16: 1/32768); beta * input scale is above 2**-26."""
    if not graph.tensors[op.input].shape:
        return "input is a scalar: must have 1 dimension or more"
    if _is_int16(graph, op):
        if softmax_scale(graph, op).shift > 31 or not op.beta > 0:
            return f"beta is {op.beta:g}: must be above 0, and its product with the input scale below 2**17"
        return _output_quantization(graph, op, 1 / 32768, 0)
    if not op.beta * quant_of(graph, op.input).scale[0] * (1 << 26) > 1:
        return f"beta {op.beta:g} is too small for input scale {quant_of(graph, op.input).scale[0]:g}"
    if softmax_params(graph, op).multiplier.shift > 31:
        return f"beta {op.beta:g} is too large"
    return _output_quantization(graph, op, 1 / 256, -128)


def logistic_quantization(graph: Graph, op: Logistic) -> str | None:
    """The output has scale 1/256 and zero point -128 (int16: 1/32768); the input scale is from 2**-27 to 8 (2.6)."""
    if _is_int16(graph, op):
        return _table_input(graph, op) or _output_quantization(graph, op, 1 / 32768, 0)
    return _q4_input(graph, op) or _output_quantization(graph, op, 1 / 256, -128)


def tanh_quantization(graph: Graph, op: Tanh) -> str | None:
    """The output has scale 1/128 and zero point 0 (int16: 1/32768); the input scale is from 2**-27 to 8 (2.6)."""
    if _is_int16(graph, op):
        return _table_input(graph, op) or _output_quantization(graph, op, 1 / 32768, 0)
    return _q4_input(graph, op) or _output_quantization(graph, op, 1 / 128, 0)


def _q4_input(graph: Graph, op: Op) -> str | None:
    scale = quant_of(graph, op.input).scale[0]
    return None if 2.0**-27 <= scale <= 8 else f"input scale is {scale:g}: must be from 2**-27 to 8"


def _table_input(graph: Graph, op: Op) -> str | None:
    scale = quant_of(graph, op.input).scale[0]
    return None if 2.0**-27 <= scale <= 2.6 else f"input scale is {scale:g}: must be from 2**-27 to 2.6"


def _is_int16(graph: Graph, op: Op) -> bool:
    return graph.tensors[op.output].dtype is DType.INT16


def _output_quantization(graph: Graph, op: Op, scale: float, zero_point: int) -> str | None:
    quant = quant_of(graph, op.output)
    if quant.zero_point[0] == zero_point and isclose(quant.scale[0], scale, rel_tol=1e-3):
        return None
    found = f"scale {quant.scale[0]:g} and zero point {quant.zero_point[0]}"
    return f"output has {found}: must be 1/{round(1 / scale)} and {zero_point}"


def hard_swish_scales(graph: Graph, op: HardSwish) -> str | None:
    """Input scale over output scale is from 2**-8 to 128; the input scale is from 2**-21 to 128."""
    params = hard_swish_params(graph, op)
    if not -15 <= params.output.shift <= 0 or not -15 <= params.reluish.shift <= 14:
        source, result = (quant_of(graph, t).scale[0] for t in (op.input, op.output))
        return f"input scale {source:g} and output scale {result:g} leave the range of 16-bit arithmetic"
    return None
