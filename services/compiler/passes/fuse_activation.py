"""A standalone Relu becomes the activation of the operator that feeds it."""

from __future__ import annotations

from dataclasses import replace

from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import (
    Add,
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    MaxPool2D,
    Mul,
    Relu,
    Sub,
)

Clamping = Conv2D | DepthwiseConv2D | FullyConnected | Add | Sub | Mul | AveragePool2D | MaxPool2D


def fuse_activation(graph: Graph) -> Graph:
    """Absorb each Relu that only clamps (its input and output share a quantization) into its producer.

    With another output scale the Relu rounds a second time, so fusing would change bits: it stays.
    """
    while (
        pair := next(filter(None, (_pair(graph, op) for op in graph.ops if isinstance(op, Relu))), None)
    ) is not None:
        producer, relu = pair
        fused = replace(producer, outputs=relu.outputs, activation=relu.activation)
        graph = graph.with_ops(fused if op is producer else op for op in graph.ops if op is not relu)
    return graph


def _pair(graph: Graph, relu: Relu) -> tuple[Clamping, Relu] | None:
    producer = graph.producers().get(relu.input)
    if not isinstance(producer, Clamping) or producer.activation not in (Activation.NONE, relu.activation):
        return None
    alone = len(graph.consumers()[relu.input]) == 1 and relu.input not in graph.outputs
    same = graph.tensors[relu.input].quant == graph.tensors[relu.output].quant
    return (producer, relu) if alone and same else None
