"""The smallest and largest value that every element of every tensor can take, whatever the network's input.

Interval arithmetic on the reference's own operators: an element whose two ends are equal is known. Ends are those of
single elements, not of channels, because padding makes the borders of a channel differ from its interior.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.compiler.ir.graph import Graph
from services.compiler.ir.node import WeightedNode
from services.compiler.ir.ops import (
    Add,
    AveragePool2D,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    HardSwish,
    LeakyRelu,
    Logistic,
    Maximum,
    MaxPool2D,
    Mean,
    Minimum,
    Mul,
    Op,
    Pad,
    Quantize,
    Relu,
    Reshape,
    ResizeBilinear,
    ResizeNearestNeighbor,
    Split,
    StridedSlice,
    Sub,
    Sum,
    Table,
    Tanh,
    Transpose,
)
from services.compiler.ir.tensor import DType, TensorId
from services.compiler.quant.convolution import op_multipliers, rescale, sums
from services.compiler.quant.elementwise import mul_multiplier
from services.compiler.quant.fixed_point import Int64s
from services.compiler.quant.folding import Weighted, constant_data
from services.compiler.quant.pooling import mean_params
from services.compiler.quant.reference import run_op
from services.compiler.quant.requantize import as_arrays
from services.compiler.quant.values import Array, quant_of

_INT32_MAX = (1 << 31) - 1
_NARROW = (DType.INT8, DType.UINT8)

_GROWING = (
    AveragePool2D
    | MaxPool2D
    | Maximum
    | Minimum
    | Pad
    | Reshape
    | Concatenation
    | StridedSlice
    | Split
    | Transpose
    | ResizeNearestNeighbor
    | ResizeBilinear
)
_TABLE = Relu | LeakyRelu | Logistic | Tanh | HardSwish | Quantize | Table


@dataclass(frozen=True, slots=True)
class Range:
    """Both ends in the tensor's shape and type."""

    low: Array
    high: Array

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Which elements are the same for every input of the network."""
        known: npt.NDArray[np.bool_] = self.low == self.high
        return known


def value_ranges(graph: Graph) -> Mapping[TensorId, Range]:
    """Return the range of every 8-bit tensor; a constant without data takes any value."""
    ranges = {t: _any_value(graph, t) for t, tensor in graph.tensors.items() if tensor.dtype in _NARROW}
    for t in ranges:
        if (data := graph.tensors[t].data) is not None:
            ranges[t] = Range(data, data)
    for op in graph.ops:
        read = (op.input,) if isinstance(op, WeightedNode) else op.inputs
        if all(t in ranges for t in (*read, *op.outputs)):
            ranges.update(_ranges_of(graph, op, ranges))
    return ranges


def sum_range(graph: Graph, op: Weighted, x: Range) -> tuple[Int64s, Int64s]:
    """Return the smallest and largest sums [positions, channels] with the bias, if the input stays in its range.

    The ends' sum is weights times the sum of the input's ends, their difference |weights| times the input's width.
    """
    weights = constant_data(graph, op.weights).astype(np.int64)
    low, high, zero = x.low.astype(np.int32), x.high.astype(np.int32), quant_of(graph, op.input).zero_point[0]
    both = sums(graph, op, low + high - zero, weights)  # `sums` takes off the zero point once
    apart = sums(graph, op, high - low + zero, np.abs(weights))
    bias = 0 if op.bias is None else constant_data(graph, op.bias).astype(np.int64).ravel()
    return (both - apart) // 2 + bias, (both + apart) // 2 + bias


def _any_value(graph: Graph, t: TensorId) -> Range:
    tensor = graph.tensors[t]
    low, high = tensor.dtype.value_range
    return Range(np.full(tensor.shape, low, tensor.dtype.numpy), np.full(tensor.shape, high, tensor.dtype.numpy))


def _ranges_of(graph: Graph, op: Op, ranges: Mapping[TensorId, Range]) -> Mapping[TensorId, Range]:
    """Return what is found out about the outputs; nothing where the operator may take any value."""
    match op:
        case Conv2D() | DepthwiseConv2D() | FullyConnected():
            return _weighted(graph, op, ranges[op.input])
        case Add():
            return _run(graph, op, [ranges[t] for t in op.inputs])
        case Sub():
            left, right = (ranges[t] for t in op.inputs)
            return _run(graph, op, [left, Range(right.high, right.low)])
        case Mul() if mul_multiplier(graph, op).shift <= 0:
            return _product(graph, op, *(ranges[t] for t in op.inputs))
        case Mean() | Sum() if mean_params(graph, op).multiplier.shift <= 0:
            return _run(graph, op, [ranges[op.input]])
        case _ if isinstance(op, _GROWING):
            return _run(graph, op, [ranges[t] for t in op.inputs])
        case _ if isinstance(op, _TABLE):
            return _table(graph, op, ranges[op.input], ranges[op.output])
        case _:
            return {}


def _run(graph: Graph, op: Op, arguments: list[Range]) -> Mapping[TensorId, Range]:
    """Of operators whose outputs grow with their inputs the ends follow from the inputs' ends."""
    low = run_op(graph, op, [a.low for a in arguments])
    high = run_op(graph, op, [a.high for a in arguments])
    return {t: Range(a, b) for t, a, b in zip(op.outputs, low, high, strict=True)}


def _product(graph: Graph, op: Mul, left: Range, right: Range) -> Mapping[TensorId, Range]:
    """A product is smallest and largest at corners."""
    corners = [run_op(graph, op, [a, b])[0] for a in (left.low, left.high) for b in (right.low, right.high)]
    return {op.output: Range(np.minimum.reduce(corners), np.maximum.reduce(corners))}


def _table(graph: Graph, op: Op, x: Range, any_value: Range) -> Mapping[TensorId, Range]:
    """A table need not grow: what is known stays known, nothing is said of the rest."""
    (values,) = run_op(graph, op, [x.low])
    return {
        op.output: Range(np.where(x.known, values, any_value.low), np.where(x.known, values, any_value.high)),
    }


def _weighted(graph: Graph, op: Weighted, x: Range) -> Mapping[TensorId, Range]:
    """Outputs grow with their sums as long as no sum wraps, which is made sure of."""
    if graph.tensors[op.input].dtype is not DType.INT8 or graph.tensors[op.weights].data is None:
        return {}
    if op.bias is not None and graph.tensors[op.bias].data is None:
        return {}
    ends = sum_range(graph, op, x)
    _, shift = as_arrays(op_multipliers(graph, op))
    largest = np.maximum(*(np.abs(end).max(axis=0) for end in ends)) << np.maximum(shift, 0)
    if (largest > _INT32_MAX).any():
        return {}
    low, high = (rescale(graph, op, end, None) for end in ends)
    return {op.output: Range(low, high)}
