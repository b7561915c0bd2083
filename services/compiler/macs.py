"""Multiply-accumulates of operators: products with weights; everything else counts none."""

from __future__ import annotations

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Conv2D, DepthwiseConv2D, FullyConnected, Op


def op_macs(graph: Graph, op: Op) -> int:
    """Return the multiply-accumulates of one operator; taps in the padding count, as is usual."""
    match op:
        case Conv2D() | FullyConnected():
            weights = graph.tensors[op.weights]
            return graph.tensors[op.output].elements * (weights.elements // weights.shape[0])
        case DepthwiseConv2D():
            _, kernel_h, kernel_w, _ = graph.tensors[op.weights].shape
            return graph.tensors[op.output].elements * kernel_h * kernel_w
        case _:
            return 0


def graph_macs(graph: Graph) -> int:
    """Return the multiply-accumulates of a whole network, for reports that of the optimized graph."""
    return sum(op_macs(graph, op) for op in graph.ops)
