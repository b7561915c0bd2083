"""Cut channels out of tensors and out of the constants of the operators that read and write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Add, Conv2D, DepthwiseConv2D, FullyConnected, Mul, Op, Sub
from services.compiler.ir.tensor import QuantParams, Tensor, TensorId
from services.compiler.passes.channel_groups import channel_counts
from services.compiler.passes.replace_constants import with_bias, with_constant
from services.compiler.passes.value_ranges import Range
from services.compiler.quant.fixed_point import Int64s
from services.compiler.quant.folding import Weighted, constant_data
from services.compiler.quant.values import Array

Kept = Mapping[TensorId, Sequence[int]]


def slice_channels(graph: Graph, kept: Kept, biases: Mapping[Op, Int64s]) -> Graph:
    """Return the graph whose tensors have only the channels that `kept` lists, all where it lists none.

    `biases` are those of every Conv2D and FullyConnected before slicing, one value an output channel.
    """
    counts = channel_counts(graph)
    ops: list[Op] = []
    for op in graph.ops:
        graph, sliced = _slice_op(graph, op, kept, counts, biases.get(op))
        ops.append(sliced)
    shapes = {t: _without_channels(graph.tensors[t], counts[t], len(channels)) for t, channels in kept.items()}
    return graph.with_tensors(shapes).with_ops(ops)


def slice_ranges(graph: Graph, kept: Kept, ranges: Mapping[TensorId, Range]) -> Mapping[TensorId, Range]:
    """Return the ranges of the tensors after slicing; `graph` is the one before."""
    counts = channel_counts(graph)

    def cut(values: Array, t: TensorId) -> Array:
        split = values.reshape(*values.shape[:-1], -1, counts[t])[..., list(kept[t])]
        return split.reshape(*values.shape[:-1], -1)

    return {t: Range(cut(r.low, t), cut(r.high, t)) if t in kept else r for t, r in ranges.items()}


def _slice_op(
    graph: Graph, op: Op, kept: Kept, counts: Mapping[TensorId, int], bias: Int64s | None
) -> tuple[Graph, Op]:
    match op:
        case Conv2D() | DepthwiseConv2D() | FullyConnected() if op.input in kept or op.output in kept:
            return _slice_weighted(graph, op, kept, counts, bias)
        case Add() | Sub() | Mul() if op.output in kept:
            return _slice_operands(graph, op, kept)
        case _:
            return graph, op


def _without_channels(tensor: Tensor, channels: int, left: int) -> Tensor:
    return replace(tensor, shape=(*tensor.shape[:-1], tensor.shape[-1] // channels * left))


def _slice_weighted(
    graph: Graph, op: Weighted, kept: Kept, counts: Mapping[TensorId, int], bias: Int64s | None
) -> tuple[Graph, Weighted]:
    outputs = list(kept.get(op.output, range(counts[op.output])))
    weights, quant = constant_data(graph, op.weights), graph.tensors[op.weights].quant
    if isinstance(op, DepthwiseConv2D):
        weights = weights[..., outputs]
    else:
        inputs = list(kept.get(op.input, range(counts[op.input])))
        split = weights.reshape(*weights.shape[:-1], -1, counts[op.input])
        weights = split[outputs][..., inputs].reshape(len(outputs), *weights.shape[1:-1], -1)
    graph, weights_id = with_constant(graph, op.weights, weights, _sliced_quant(quant, outputs))
    if op.bias is not None and bias is None:
        bias = constant_data(graph, op.bias).astype(np.int64).ravel()
    if bias is None or (op.bias is None and not bias.any()):
        return graph, replace(op, inputs=(op.input, weights_id))
    graph, bias_id = with_bias(graph, op, bias[outputs])
    tensor = graph.tensors[bias_id]
    graph = graph.with_tensors({bias_id: replace(tensor, quant=_sliced_quant(tensor.quant, outputs))})
    return graph, replace(op, inputs=(op.input, weights_id, bias_id))


def _slice_operands(graph: Graph, op: Add | Sub | Mul, kept: Kept) -> tuple[Graph, Op]:
    """Cut a constant operand that has a value a channel."""
    inputs = list(op.inputs)
    for index, t in enumerate(op.inputs):
        tensor = graph.tensors[t]
        if tensor.is_constant and _channels(tensor) == _channels(graph.tensors[op.output]):
            data: Array = constant_data(graph, t)
            graph, inputs[index] = with_constant(graph, t, data[..., list(kept[op.output])], tensor.quant)
    return graph, replace(op, inputs=tuple(inputs))


def _channels(tensor: Tensor) -> int:
    return tensor.shape[-1] if tensor.shape else 1


def _sliced_quant(quant: QuantParams | None, channels: Sequence[int]) -> QuantParams | None:
    """Scales one a channel are cut with the channels."""
    if quant is None or len(quant.scale) == 1:
        return quant
    return replace(
        quant,
        scale=tuple(quant.scale[c] for c in channels),
        zero_point=tuple(quant.zero_point[c] for c in channels),
    )
