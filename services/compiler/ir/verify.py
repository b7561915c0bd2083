"""Invariants of a graph, checked before and after every pass."""

from __future__ import annotations

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Op
from services.compiler.ir.tensor import quoted


class InvalidGraphError(Exception):
    """A pass or an importer broke an invariant: a bug of the compiler, never of the user's model."""


def verify(graph: Graph) -> Graph:
    """Return the graph if every tensor is written once, before it is read, and every id is known.

    Raises InvalidGraphError naming the operator and the tensor.
    """
    written = {t for t, tensor in graph.tensors.items() if tensor.is_constant} | set(graph.inputs)
    if missing := [t for t in (*graph.inputs, *graph.outputs) if t not in graph.tensors]:
        raise InvalidGraphError(f"graph {quoted(graph.name)} names tensors {missing} that it does not hold")
    held = set(graph.tensors)
    for op in graph.ops:
        if not (written.issuperset(op.inputs) and held.issuperset(op.outputs) and written.isdisjoint(op.outputs)):
            raise InvalidGraphError(_wrong(graph, op, written))
        written.update(op.outputs)
    if unwritten := [t for t in graph.outputs if t not in written]:
        raise InvalidGraphError(f"outputs {unwritten} of graph {quoted(graph.name)} are written by no operator")
    return graph


def _wrong(graph: Graph, op: Op, written: set[int]) -> str:
    """Return what is wrong with an operator that reads what was not written, or writes what it must not."""
    for t in (*op.inputs, *op.outputs):
        if t not in graph.tensors:
            return f"{op.kind} {quoted(op.name)} names tensor {t}, which the graph does not hold"
    if early := [t for t in op.inputs if t not in written]:
        return f"{op.kind} {quoted(op.name)} reads tensors {early} before they are written"
    again = [t for t in op.outputs if t in written]
    return f"{op.kind} {quoted(op.name)} writes tensors {again} a second time"
