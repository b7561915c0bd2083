"""A depthwise convolution that makes many channels of one is an ordinary convolution of that one channel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Conv2D, DepthwiseConv2D, Op
from services.compiler.ir.tensor import DType, Tensor


def convolve_one_channel(graph: Graph) -> Graph:
    """Return the graph with depthwise convolutions of one input channel and several filters as convolutions.

    Both sum and round alike; the matrix kernels share the expanded windows among all filters.
    """
    tensors = dict(graph.tensors)
    ops: list[Op] = []
    for op in graph.ops:
        if isinstance(op, DepthwiseConv2D) and _is_one_to_many(graph, op):
            weights_id = max(tensors) + 1
            tensors[weights_id] = _filters(graph.tensors[op.weights])
            ops.append(
                Conv2D(
                    name=op.name,
                    inputs=(op.input, weights_id, *op.inputs[2:]),
                    outputs=op.outputs,
                    stride_hw=op.stride_hw,
                    dilation_hw=op.dilation_hw,
                    padding=op.padding,
                    activation=op.activation,
                )
            )
        else:
            ops.append(op)
    return replace(graph, tensors=tensors).with_ops(ops)


def _is_one_to_many(graph: Graph, op: DepthwiseConv2D) -> bool:
    source, filters = graph.tensors[op.input], graph.tensors[op.weights].shape[3]
    return source.shape[3] == 1 and filters > 1 and source.dtype is DType.INT8


def _filters(weights: Tensor) -> Tensor:
    """Return depthwise weights [1, H, W, O] as [O, H, W, 1]."""
    _, height, width, filters = weights.shape
    quant = replace(weights.quant, axis=0) if weights.quant is not None and weights.quant.per_channel else weights.quant
    data = None if weights.data is None else np.ascontiguousarray(weights.data.transpose(3, 1, 2, 0))
    return replace(weights, shape=(filters, height, width, 1), quant=quant, data=data)
