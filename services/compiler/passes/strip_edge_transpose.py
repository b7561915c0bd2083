"""Leave the Transpose at the graph's edges to the host: an NCHW model file then costs the device nothing.

Runs after `strip_edge_quantize`, when the edges are integers. The host has to know the axis order: `host_axes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Dequantize, Op, Quantize, Transpose
from services.compiler.ir.tensor import TensorId

_EDGE_OPS = Quantize | Dequantize | Transpose


@dataclass(frozen=True, slots=True)
class HostAxes:
    """`shape` is the tensor as the model file declares it; `permutation` is what the host does with its axes.

    For an input: C array = model array.transpose(permutation). For an output: model array = C array.transpose(...).
    None where the order is the same; then shapes differ by unit axes at most.
    """

    shape: tuple[int, ...]
    permutation: tuple[int, ...] | None


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


def host_axes(model: Graph, compiled: Graph) -> tuple[tuple[HostAxes, ...], tuple[HostAxes, ...]]:
    """Return what the host does to each input and each output, in order.

    `model` is the graph as imported, in which the compiled graph's edges are found. Raises ValueError if they are not.
    """
    readers, producers = model.consumers(), model.producers()
    inputs = tuple(_input_axes(model, readers, *edge) for edge in zip(model.inputs, compiled.inputs, strict=True))
    outputs = tuple(_output_axes(model, producers, *edge) for edge in zip(model.outputs, compiled.outputs, strict=True))
    return inputs, outputs


def _input_axes(
    model: Graph, readers: Mapping[TensorId, tuple[Op, ...]], declared: TensorId, edge: TensorId
) -> HostAxes:
    passed, at = list[Op](), declared
    while at != edge:
        if not readers[at] or not isinstance(readers[at][0], _EDGE_OPS):
            raise ValueError(f"input {model.tensors[declared].name!r} does not lead to tensor {edge}")
        passed.append(readers[at][0])
        at = passed[-1].output
    return HostAxes(model.tensors[declared].shape, _permutation(passed))


def _output_axes(model: Graph, producers: Mapping[TensorId, Op], declared: TensorId, edge: TensorId) -> HostAxes:
    passed, at = list[Op](), declared
    while at != edge:
        producer = producers.get(at)
        if not isinstance(producer, _EDGE_OPS):
            raise ValueError(f"output {model.tensors[declared].name!r} does not come from tensor {edge}")
        passed.insert(0, producer)
        at = producer.input
    return HostAxes(model.tensors[declared].shape, _permutation(passed))


def _permutation(passed: Sequence[Op]) -> tuple[int, ...] | None:
    """Return the one axis order among the operators of an edge."""
    return next((op.permutation for op in passed if isinstance(op, Transpose)), None)
