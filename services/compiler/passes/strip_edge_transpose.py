"""Leave the Transpose at the graph's edges to the host: an NCHW model file then costs the device nothing.

Runs last, when the edges are integers. The host has to know the axis order: `edge_axes`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Op, Transpose
from services.compiler.ir.tensor import TensorId

Permutation = tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class EdgeAxes:
    """What the host does with the axes of each input and output, in order; None where it does nothing.

    For an input: C array = model array.transpose(permutation). For an output: model array = C array.transpose(...).
    """

    inputs: tuple[Permutation, ...]
    outputs: tuple[Permutation, ...]


def strip_edge_transpose(graph: Graph) -> Graph:
    """Return the graph whose inputs and outputs are stored as its first and last operators want them."""
    for source in graph.inputs:
        graph = _strip_input(graph, source)
    for result in graph.outputs:
        graph = _strip_output(graph, result)
    return graph


def _strip_input(graph: Graph, source: TensorId) -> Graph:
    readers = graph.consumers()[source]
    if len(readers) != 1 or not isinstance(readers[0], Transpose) or source in graph.outputs:
        return graph
    result = readers[0].output
    if result in graph.outputs:
        return graph
    return _without(replace(graph, inputs=tuple(result if t == source else t for t in graph.inputs)), readers[0])


def _strip_output(graph: Graph, result: TensorId) -> Graph:
    producer = graph.producers().get(result)
    if not isinstance(producer, Transpose) or graph.consumers()[result]:
        return graph
    source = producer.input
    if source in (*graph.inputs, *graph.outputs) or graph.outputs.count(result) > 1:
        return graph
    return _without(replace(graph, outputs=tuple(source if t == result else t for t in graph.outputs)), producer)


def _without(graph: Graph, removed: Op) -> Graph:
    return graph.with_ops(op for op in graph.ops if op is not removed)


def edge_axes(before: Graph, after: Graph) -> EdgeAxes:
    """Return what the host has to do for `after`, which is `strip_edge_transpose(before)`."""
    readers, producers = before.consumers(), before.producers()
    inputs = tuple(
        None if source == edge else _permutation(readers[source][0])
        for source, edge in zip(before.inputs, after.inputs, strict=True)
    )
    outputs = tuple(
        None if result == edge else _permutation(producers[result])
        for result, edge in zip(before.outputs, after.outputs, strict=True)
    )
    return EdgeAxes(inputs, outputs)


def _permutation(op: Op) -> tuple[int, ...]:
    if not isinstance(op, Transpose):
        raise AssertionError(f"{op.kind} {op.name!r} is at an edge that was stripped of a Transpose")
    return op.permutation
