"""Drop operators that hand their input on unchanged, and merge reshapes of reshapes."""

from __future__ import annotations

from dataclasses import replace

from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import (
    Concatenation,
    Op,
    Pad,
    Quantize,
    Reshape,
    ResizeNearestNeighbor,
    Split,
    StridedSlice,
    Transpose,
)
from services.compiler.ir.tensor import Tensor
from services.compiler.passes.remove_dead_code import remove_dead_code
from services.compiler.passes.replace_tensors import with_reads

_MOVERS = Concatenation | Pad | Quantize | Reshape | ResizeNearestNeighbor | Split | StridedSlice | Transpose


def drop_identities(graph: Graph) -> Graph:
    """Return the graph without operators whose output equals their input in shape, type, quantization and bytes."""
    graph = _merge_reshapes(graph)
    while (op := next((op for op in graph.ops if _removable(graph, op)), None)) is not None:
        graph = _remove(graph, op)
    return graph


def _merge_reshapes(graph: Graph) -> Graph:
    """Let a Reshape of a Reshape read the first one's input."""
    source = {op.output: op.input for op in graph.ops if isinstance(op, Reshape)}
    merged: list[Op] = []
    for op in graph.ops:
        if isinstance(op, Reshape) and op.input in source:
            source[op.output] = source[op.input]
            merged.append(replace(op, inputs=(source[op.input],)))
        else:
            merged.append(op)
    return remove_dead_code(graph.with_ops(merged))


def _removable(graph: Graph, op: Op) -> bool:
    """An edge tensor cannot be renamed: a result that goes straight from input to output is kept as a copy."""
    edge = {*graph.inputs, *graph.outputs}
    constant = graph.tensors[op.input].is_constant
    return _is_identity(graph, op) and not (op.output in edge and (op.input in edge or constant))


def _is_identity(graph: Graph, op: Op) -> bool:
    if not isinstance(op, _MOVERS) or len(op.inputs) != 1 or len(op.outputs) != 1:
        return False
    source, result = graph.tensors[op.input], graph.tensors[op.output]
    if not _alike(source, result):
        return False
    match op:
        case Transpose():
            return op.permutation == tuple(sorted(op.permutation))
        case StridedSlice():
            return all(stride > 0 for stride in op.strides)
        case Concatenation():
            return op.activation is Activation.NONE
        case ResizeNearestNeighbor():
            return not (op.align_corners and op.half_pixel_centers)  # together they shift by one
        case _:
            return True


def _alike(source: Tensor, result: Tensor) -> bool:
    return (source.shape, source.dtype, source.quant) == (result.shape, result.dtype, result.quant)


def _remove(graph: Graph, op: Op) -> Graph:
    """Rename the output to the input; where the output is the graph's, rename the input to the output."""
    rest = graph.with_ops(other for other in graph.ops if other is not op)
    if op.output not in graph.outputs:
        return with_reads(rest, {op.output: op.input})
    renamed = {op.input: op.output}
    ops = [replace(o, outputs=tuple(renamed.get(t, t) for t in o.outputs)) for o in rest.ops]
    return with_reads(rest.with_tensors({op.output: graph.tensors[op.output]}).with_ops(ops), renamed)
