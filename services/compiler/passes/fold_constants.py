"""Operators that read constants only are run at compile time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Op
from services.compiler.ir.tensor import Tensor
from services.compiler.quant.reference import run_op
from services.compiler.quant.values import Array


def fold_constants(graph: Graph) -> Graph:
    """Replace operators by their results where every input is a constant with data (never in a weight-free network).

    An operator that writes a graph output stays: outputs live in the arena.
    """
    kept: list[Op] = []
    for op in graph.ops:
        values = [graph.tensors[t].data for t in op.inputs]
        known = [v for v in values if v is not None]
        if len(known) < len(values) or set(op.outputs) & set(graph.outputs):
            kept.append(op)
            continue
        results = zip(op.outputs, run_op(graph, op, known), strict=True)
        graph = graph.with_tensors({t: _as_constant(graph.tensors[t], value) for t, value in results})
    return graph.with_ops(kept)


def _as_constant(tensor: Tensor, value: Array) -> Tensor:
    return replace(tensor, data=np.ascontiguousarray(value), is_constant=True)
