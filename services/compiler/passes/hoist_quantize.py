"""Move Quantize and Dequantize to the graph's edges, past reshapes of floats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Dequantize, Op, Quantize, Reshape


def hoist_quantize(graph: Graph) -> Graph:
    """Swap Reshape -> Quantize and Dequantize -> Reshape, so that the reshape moves integers.

    The same bits, a quarter of the bytes, and the edge becomes strippable.
    """
    while (pair := next(_pairs(graph), None)) is not None:
        graph = _swap(graph, *pair)
    return graph


def _pairs(graph: Graph) -> Iterator[tuple[Op, Op]]:
    """Yield (first, second) where the second reads the first's result alone and the two can change places."""
    producers, consumers = graph.producers(), graph.consumers()
    for second in graph.ops:
        first = producers.get(second.input)
        if first is None or len(consumers[second.input]) > 1 or second.input in graph.outputs:
            continue
        match first, second:
            case Reshape(), Quantize() if graph.tensors[first.input].dtype.is_float:
                yield first, second
            case Dequantize(), Reshape():
                yield first, second
            case _:
                pass


def _swap(graph: Graph, first: Op, second: Op) -> Graph:
    """The tensor between the two gets the outer shape and the integer side's type."""
    outer, result = graph.tensors[first.input], graph.tensors[second.output]
    integer = result if isinstance(second, Quantize) else outer
    shape = outer.shape if isinstance(second, Quantize) else result.shape
    between = graph.fresh_id()
    tensor = replace(integer, name=graph.tensors[first.output].name, shape=shape)
    moved_up = replace(second, inputs=first.inputs, outputs=(between,))
    moved_down = replace(first, inputs=(between,), outputs=second.outputs)
    swapped: list[Op] = []
    for op in graph.ops:
        if op is second:
            swapped += [moved_up, moved_down]
        elif op is not first:
            swapped.append(op)
    return graph.with_tensors({between: tensor}).with_ops(swapped)
