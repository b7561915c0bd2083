"""A Pad of a Pad becomes one, which saves a copy and a buffer."""

from __future__ import annotations

from dataclasses import replace

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Op, Pad
from services.compiler.passes.remove_dead_code import remove_dead_code


def merge_pads(graph: Graph) -> Graph:
    """Let each Pad of a Pad with the same value read the first one's input and add both borders.

    Where somebody else reads the inner one too, it is kept for them.
    """
    pads = dict[int, Pad]()
    merged: list[Op] = []
    for op in graph.ops:
        outer: Op = op
        if isinstance(op, Pad):
            inner = pads.get(op.input)
            outer = pads[op.output] = _merged(inner, op) if inner is not None and inner.value == op.value else op
        merged.append(outer)
    return remove_dead_code(graph.with_ops(merged))


def _merged(inner: Pad, outer: Pad) -> Pad:
    before = tuple(a + b for a, b in zip(inner.before, outer.before, strict=True))
    after = tuple(a + b for a, b in zip(inner.after, outer.after, strict=True))
    return replace(outer, inputs=inner.inputs, before=before, after=after)
