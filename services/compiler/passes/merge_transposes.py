"""A Transpose of a Transpose becomes one; `drop_identities` then drops it if the two undo each other."""

from __future__ import annotations

from dataclasses import replace

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Op, Transpose
from services.compiler.passes.remove_dead_code import remove_dead_code


def merge_transposes(graph: Graph) -> Graph:
    """Let each Transpose of a Transpose read the first one's input, in the order that both give."""
    transposes = dict[int, Transpose]()
    merged: list[Op] = []
    for op in graph.ops:
        outer: Op = op
        if isinstance(op, Transpose):
            inner = transposes.get(op.input)
            outer = transposes[op.output] = op if inner is None else _merged(inner, op)
        merged.append(outer)
    return remove_dead_code(graph.with_ops(merged))


def _merged(inner: Transpose, outer: Transpose) -> Transpose:
    permutation = tuple(inner.permutation[axis] for axis in outer.permutation)
    return replace(outer, inputs=inner.inputs, permutation=permutation)
