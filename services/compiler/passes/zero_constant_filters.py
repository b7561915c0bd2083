"""Filters whose output is the same for every input of the network get weights of zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Conv2D, DepthwiseConv2D, FullyConnected
from services.compiler.ir.tensor import DType, TensorId
from services.compiler.passes.replace_constants import has_data, with_bias, with_constant, with_op
from services.compiler.passes.value_ranges import Range, sum_range, value_ranges
from services.compiler.quant.folding import Weighted, channel_major, constant_data, output_channels


def zero_constant_filters(graph: Graph) -> Graph:
    """Return the graph in which filters that only ever give one value (by clamping, or by tiny scales) read nothing.

    Their bias becomes a sum that gives that value; what they read may then be read by nobody. Needs the weights.
    """
    if not has_data(graph):
        return graph
    ranges = value_ranges(graph)
    for op in graph.ops:
        if isinstance(op, Conv2D | DepthwiseConv2D | FullyConnected) and graph.tensors[op.input].dtype is DType.INT8:
            graph = _zeroed(graph, op, ranges)
    return graph


def _zeroed(graph: Graph, op: Weighted, ranges: Mapping[TensorId, Range]) -> Graph:
    channels, result = output_channels(graph, op), ranges[op.output]
    values = result.low.reshape(-1, channels)
    constant = result.known.reshape(-1, channels).all(axis=0) & (values == values[0]).all(axis=0)
    constant &= channel_major(graph, op).reshape(channels, -1).any(axis=1)
    if not constant.any():
        return graph
    weights = np.array(channel_major(graph, op))
    weights[constant] = 0
    if isinstance(op, DepthwiseConv2D):
        weights = np.moveaxis(weights, 0, -1)
    bias = 0 if op.bias is None else constant_data(graph, op.bias).astype(np.int64).ravel()
    lowest, _ = sum_range(graph, op, ranges[op.input])
    graph, weights_id = with_constant(graph, op.weights, weights, graph.tensors[op.weights].quant)
    graph, bias_id = with_bias(graph, op, np.where(constant, lowest[0], bias))
    return with_op(graph, op, replace(op, inputs=(op.input, weights_id, bias_id)))
