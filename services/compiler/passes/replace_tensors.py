"""Renaming of tensors in a graph's operators, which most rewrites end with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Op
from services.compiler.ir.tensor import TensorId


def read_instead(op: Op, renamed: Mapping[TensorId, TensorId]) -> Op:
    """Return the operator reading `renamed[t]` wherever it read `t`."""
    inputs = tuple(_follow(t, renamed) for t in op.inputs)
    return op if inputs == op.inputs else replace(op, inputs=inputs)


def _follow(tensor_id: TensorId, renamed: Mapping[TensorId, TensorId]) -> TensorId:
    """Renames may chain: a tensor replaced by one that is itself replaced."""
    while tensor_id in renamed:
        tensor_id = renamed[tensor_id]
    return tensor_id


def with_reads(graph: Graph, renamed: Mapping[TensorId, TensorId]) -> Graph:
    """Return the graph with every operator reading `renamed[t]` instead of `t`; the graph's edges stay."""
    return graph.with_ops(read_instead(op, renamed) for op in graph.ops)
