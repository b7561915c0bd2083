"""Element-wise operators that together are a function of one tensor become one table of its 256 results.

x * sigmoid(x), (x + 3) * 0.25, relu after tanh: whatever each of them rounds is worked out here, for every input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import (
    Add,
    HardSwish,
    LeakyRelu,
    Logistic,
    Maximum,
    Minimum,
    Mul,
    Op,
    PRelu,
    Quantize,
    Relu,
    Sub,
    Table,
    Tanh,
)
from services.compiler.ir.tensor import DType, Tensor, TensorId
from services.compiler.quant.reference import run_op
from services.compiler.quant.values import Array

_Pairwise = Add | Sub | Mul | Maximum | Minimum | PRelu
_Unary = Logistic | Tanh | HardSwish | Relu | LeakyRelu | Table | Quantize
Elementwise = _Pairwise | _Unary


def fuse_tables(graph: Graph) -> Graph:
    """Return the graph with every such group as one Table; what lies inside must be read by nothing else.

    A table of a weight-free network has no data where it depends on constants that have none.
    """
    producers, consumers = graph.producers(), graph.consumers()
    gone: set[Op] = set()
    tables: dict[Op, Table] = {}
    added: dict[TensorId, Tensor] = {}
    for op in reversed(graph.ops):
        if op in gone or not _fusable(graph, op):
            continue
        group = _group(graph, op, producers, consumers)
        if group is None:
            continue
        (root,) = _read(graph, group)
        table = graph.fresh_id() + len(added)
        added[table] = Tensor(f"{op.name}/table", (256,), DType.INT8, None, _results(graph, group, root), True)
        tables[op] = Table(name=op.name, inputs=(root, table), outputs=op.outputs)
        gone |= group
    kept = (tables.get(op, op) for op in graph.ops if op in tables or op not in gone)
    return graph.with_tensors(added).with_ops(kept)


def _fusable(graph: Graph, op: Op) -> bool:
    """Whether all that the operator reads and writes is int8, of one shape or a single constant."""
    if not isinstance(op, Elementwise):
        return False
    shape = graph.tensors[op.output].shape
    for t in (*_data(op), op.output):
        tensor = graph.tensors[t]
        fits = tensor.elements == 1 if tensor.is_constant else tensor.shape == shape
        if tensor.dtype is not DType.INT8 or not fits:
            return False
    return True


def _data(op: Op) -> tuple[TensorId, ...]:
    """Return what the operator computes with: a table's results are its own."""
    return op.inputs[:1] if isinstance(op, Table) else op.inputs


def _group(
    graph: Graph, last: Op, producers: Mapping[TensorId, Op], consumers: Mapping[TensorId, Sequence[Op]]
) -> frozenset[Op] | None:
    """Return the largest group that ends with an operator and reads one tensor; None where it would gain nothing."""
    order = {op: index for index, op in enumerate(graph.ops)}
    group = frozenset([last])
    best = group if isinstance(last, _Pairwise) and len(_read(graph, group)) == 1 else None
    while True:
        private = [
            producers[t]
            for t in _read(graph, group)
            if t in producers
            and _fusable(graph, producers[t])
            and t not in graph.outputs
            and all(reader in group for reader in consumers[t])
        ]
        if not private:
            return best
        group |= {max(private, key=lambda op: order[op])}
        if len(_read(graph, group)) == 1:
            best = group


def _read(graph: Graph, group: frozenset[Op]) -> frozenset[TensorId]:
    """Return the computed tensors that a group reads and does not write."""
    written = {op.output for op in group}
    read = {t for op in group for t in _data(op) if not graph.tensors[t].is_constant}
    return frozenset(read - written)


def _results(graph: Graph, group: frozenset[Op], root: TensorId) -> Array | None:
    values: dict[TensorId, Array] = {root: np.arange(-128, 128, dtype=np.int64).astype(np.int8)}
    members = [op for op in graph.ops if op in group]
    for op in members:
        for t in op.inputs:
            data = graph.tensors[t].data
            if t not in values and data is None:
                return None
            if t not in values and data is not None:
                values[t] = data.reshape(-1)
        (values[op.output],) = run_op(graph, op, [values[t] for t in op.inputs])
    return np.ascontiguousarray(values[members[-1].output])
