"""PAD before a convolution becomes the convolution's own padding."""

from __future__ import annotations

from dataclasses import replace

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Conv2D, DepthwiseConv2D, Op, Pad, Padding
from services.compiler.passes.remove_dead_code import remove_dead_code


def fuse_pad(graph: Graph) -> Graph:
    """Absorb each Pad of rows and columns whose value is the zero point into all its readers, if all are convolutions.

    A convolution's padding contributes nothing to its sums, just as elements equal to the zero point do.
    """
    while (pad := next((op for op in graph.ops if isinstance(op, Pad) and _fusable(graph, op)), None)) is not None:
        graph = _absorb(graph, pad)
    return graph


def _fusable(graph: Graph, pad: Pad) -> bool:
    readers = graph.consumers()[pad.output]
    source, padded = graph.tensors[pad.input], graph.tensors[pad.output]
    return (
        bool(readers)
        and pad.output not in graph.outputs
        and all(isinstance(op, Conv2D | DepthwiseConv2D) and op.input == pad.output for op in readers)
        and len(pad.before) == 4
        and (pad.before[0], pad.after[0], pad.before[3], pad.after[3]) == (0, 0, 0, 0)
        and padded.quant is not None
        and source.quant == padded.quant
        and pad.value == padded.quant.zero_point[0]
    )


def _absorb(graph: Graph, pad: Pad) -> Graph:
    return remove_dead_code(graph.with_ops(_with_border(op, pad) for op in graph.ops))


def _with_border(op: Op, pad: Pad) -> Op:
    if not isinstance(op, Conv2D | DepthwiseConv2D) or op.input != pad.output:
        return op
    (_, top, left, _), (_, bottom, right, _) = pad.before, pad.after
    own = op.padding
    border = Padding(own.top + top, own.bottom + bottom, own.left + left, own.right + right)
    return replace(op, inputs=(pad.input, *op.inputs[1:]), padding=border)
