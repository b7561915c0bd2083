"""Leave the Transpose at the graph's edges to the host: an NCHW model file then costs the device nothing.

Runs last. An edge may be what the first or last operator works on, or be converted on the device: floats that are
quantized there are quantized in the order that the network wants. The host has to know the axis order: `edge_axes`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeGuard

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Dequantize, Op, Quantize, Transpose
from services.compiler.ir.tensor import TensorId
from services.compiler.passes.replace_tensors import with_reads

Permutation = tuple[int, ...] | None
_Conversion = Quantize | Dequantize


@dataclass(frozen=True, slots=True)
class EdgeAxes:
    """What the host does with the axes of each input and output, in order; None where it does nothing.

    For an input: C array = model array.transpose(permutation). For an output: model array = C array.transpose(...).
    """

    inputs: tuple[Permutation, ...]
    outputs: tuple[Permutation, ...]


def strip_edge_transpose(graph: Graph) -> Graph:
    """Return the graph whose inputs and outputs are stored as its first and last operators want them.

    An edge that anything reads in the model's order keeps its Transpose, as does one that goes straight to an output.
    """
    for source in graph.inputs:
        graph = _strip_input(graph, source)
    for result in graph.outputs:
        graph = _strip_output(graph, result)
    return graph


def edge_axes(before: Graph, after: Graph) -> EdgeAxes:
    """Return what the host has to do for `after`, which is `strip_edge_transpose(before)`."""
    inputs = tuple(
        None if source == edge else _behind(before, source)[0].permutation
        for source, edge in zip(before.inputs, after.inputs, strict=True)
    )
    outputs = tuple(
        None if result == edge or (op := _in_front(before, result)) is None else op.permutation
        for result, edge in zip(before.outputs, after.outputs, strict=True)
    )
    return EdgeAxes(inputs, outputs)


def _strip_input(graph: Graph, source: TensorId) -> Graph:
    transposes = _behind(graph, source)
    if not transposes:
        return graph
    direct = [op.output for op in transposes if op.input == source]
    edge = direct[0] if direct else graph.fresh_id()
    shape = graph.tensors[transposes[0].output].shape
    first = {op.input: op.output for op in reversed(transposes)} | {source: edge}
    renamed = {op.output: first[op.input] for op in transposes if op.output != first[op.input]}
    ops: list[Op] = []
    for op in graph.ops:
        if source in op.inputs and isinstance(op, Quantize):
            ops.append(replace(op, inputs=(edge,), outputs=(first[op.output],)))
        elif op not in transposes:
            ops.append(op)
    inputs = tuple(edge if t == source else t for t in graph.inputs)
    tensor = replace(graph.tensors[source], shape=shape)
    return with_reads(replace(graph.with_tensors({edge: tensor}), inputs=inputs, ops=tuple(ops)), renamed)


def _behind(graph: Graph, source: TensorId) -> tuple[Transpose, ...]:
    """Return the Transposes of one order that alone read an input, as it is or quantized; none where others do."""
    readers = graph.consumers()
    found: list[Op] = []
    for op in readers[source]:
        behind = readers[op.output] if isinstance(op, Quantize) else (op,)
        if not behind or (isinstance(op, Quantize) and op.output in graph.outputs):
            return ()
        found += behind
    transposes = tuple(op for op in found if _only_moves(op, graph))
    alike = len(transposes) == len(found) and len({op.permutation for op in transposes}) == 1
    exposed = source in graph.outputs or any(op.output in graph.outputs for op in transposes)
    return transposes if alike and not exposed else ()


def _strip_output(graph: Graph, result: TensorId) -> Graph:
    transpose = _in_front(graph, result)
    if transpose is None:
        return graph
    last = graph.producers()[result]
    edge, changed, ops = transpose.input, graph.tensors, [op for op in graph.ops if op is not transpose]
    if isinstance(last, _Conversion):
        edge = graph.fresh_id()
        changed = {edge: replace(graph.tensors[result], shape=graph.tensors[transpose.input].shape)}
        moved = replace(last, inputs=transpose.inputs, outputs=(edge,))
        ops = [moved if op is last else op for op in ops]
    outputs = tuple(edge if t == result else t for t in graph.outputs)
    return replace(graph.with_tensors(changed), outputs=outputs).with_ops(ops)


def _in_front(graph: Graph, result: TensorId) -> Transpose | None:
    """Return the Transpose that makes an output, or what is converted to it, and that nothing else reads."""
    readers, producers = graph.consumers(), graph.producers()
    last = producers.get(result)
    transpose = producers.get(last.input) if isinstance(last, _Conversion) else last
    if transpose is None or not _only_moves(transpose, graph) or readers[result] or graph.outputs.count(result) > 1:
        return None
    if transpose is last:
        return None if transpose.input in (*graph.inputs, *graph.outputs) else transpose
    return transpose if len(readers[transpose.output]) == 1 and transpose.output not in graph.outputs else None


def _only_moves(op: Op, graph: Graph) -> TypeGuard[Transpose]:
    """Whether the operator is a Transpose to the same numbers: it can change places with what converts them."""
    return isinstance(op, Transpose) and graph.tensors[op.input].quant == graph.tensors[op.output].quant
