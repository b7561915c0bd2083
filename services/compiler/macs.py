"""Multiply-accumulates of operators: products with weights; everything else counts none."""

from __future__ import annotations

from services.compiler.ir.alone import remembered
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Conv2D, DepthwiseConv2D, FullyConnected, Op, RnnPool


@remembered
def op_macs(graph: Graph, op: Op) -> int:
    """Return the multiply-accumulates of one operator; taps in the padding count, as is usual."""
    match op:
        case Conv2D() | FullyConnected():
            weights = graph.tensors[op.weights]
            return graph.tensors[op.output].elements * (weights.elements // weights.shape[0])
        case DepthwiseConv2D():
            _, kernel_h, kernel_w, _ = graph.tensors[op.weights].shape
            return graph.tensors[op.output].elements * kernel_h * kernel_w
        case RnnPool():
            return _rnn_pool_macs(graph, op)
        case _:
            return 0


def _rnn_pool_macs(graph: Graph, op: RnnPool) -> int:
    """Every pixel's products with the sweep's input weights count once: its row and its column share them."""
    hidden, channels = graph.tensors[op.sweep[0]].shape
    summary, _ = graph.tensors[op.summary[0]].shape
    kernel_h, kernel_w = op.kernel_hw
    _, out_h, out_w, _ = graph.tensors[op.output].shape
    sweeps = kernel_h * kernel_w * (channels + 2 * hidden) * hidden
    return out_h * out_w * (sweeps + 2 * (kernel_h + kernel_w) * (hidden + summary) * summary)


def graph_macs(graph: Graph) -> int:
    """Return the multiply-accumulates of a whole network, for reports that of the optimized graph."""
    return sum(op_macs(graph, op) for op in graph.ops)
