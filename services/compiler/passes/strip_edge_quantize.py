"""Leave the Quantize and Dequantize at the graph's float edges to the host."""

from __future__ import annotations

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Dequantize, Op, Quantize
from services.compiler.ir.tensor import TensorId
from services.compiler.passes.replace_tensors import with_reads


def strip_edge_quantize(graph: Graph) -> Graph:
    """Return the graph with integer inputs and outputs, in the same order, where the model's are float32.

    The new edge tensors carry the scale and zero point that the host quantizes with. An edge that something else
    reads too, or a network of nothing but its edges, keeps its operators.
    """
    for source in graph.inputs:
        graph = _strip_input(graph, source)
    for result in graph.outputs:
        graph = _strip_output(graph, result)
    return graph


def _strip_input(graph: Graph, source: TensorId) -> Graph:
    readers = graph.consumers()[source]
    if not readers or not graph.tensors[source].dtype.is_float or source in graph.outputs:
        return graph
    results = [graph.tensors[op.output] for op in readers]
    first = readers[0].output
    alike = all((r.dtype, r.quant) == (results[0].dtype, results[0].quant) for r in results)
    exposed = any(op.output in graph.outputs for op in readers)
    if not all(isinstance(op, Quantize) for op in readers) or not alike or exposed:
        return graph
    inputs = tuple(first if t == source else t for t in graph.inputs)
    rest = _without(graph, readers, inputs, graph.outputs)
    return with_reads(rest, {op.output: first for op in readers[1:]})


def _strip_output(graph: Graph, result: TensorId) -> Graph:
    producer = graph.producers().get(result)
    if not isinstance(producer, Dequantize) or graph.consumers()[result]:
        return graph
    source = producer.input
    if source in graph.inputs or source in graph.outputs or graph.outputs.count(result) > 1:
        return graph
    outputs = tuple(source if t == result else t for t in graph.outputs)
    return _without(graph, (producer,), graph.inputs, outputs)


def _without(
    graph: Graph, removed: tuple[Op, ...], inputs: tuple[TensorId, ...], outputs: tuple[TensorId, ...]
) -> Graph:
    ops = tuple(op for op in graph.ops if op not in removed)
    return Graph(graph.name, graph.tensors, ops, inputs, outputs).with_ops(ops)
