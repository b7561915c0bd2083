"""int4 weights made from a quantized graph: types, and that inputs that were seen make them better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.node import WeightedNode
from services.compiler.ir.tensor import DType
from services.compiler.quant.reference import run_graph
from services.compiler.quantize.layer_inputs import layer_inputs
from services.compiler.quantize.requantize_int4 import requantize_to_int4
from services.compiler.quantize.round_to_int4 import round_to_inputs, round_to_nearest
from tests.compiler.graph_maker import GraphMaker, random_inputs


def network(*, bias: bool = True) -> Graph:
    m = GraphMaker(seed=4)
    x = m.conv2d(m.input(1, 8, 8, 3), 8, stride=(2, 2), activation=Activation.RELU, bias=bias)
    x = m.conv2d(m.depthwise(x, 2), 12, (1, 1))
    return m.build(m.dense(m.reshape(m.pool("average", x, (4, 4), (4, 4)), 1, 12), 5))


def noise(graph: Graph, other: Graph, seeds: range) -> float:
    pairs = [(run_graph(g, random_inputs(graph, s))[0].astype(float) for g in (graph, other)) for s in seeds]
    return float(np.mean([np.mean((a - b) ** 2) for a, b in pairs]))


def test_every_layer_gets_int4_weights_and_a_scale_a_channel() -> None:
    graph = requantize_to_int4(network(bias=False))
    layers = [op for op in graph.ops if isinstance(op, WeightedNode)]
    weights = [graph.tensors[op.weights] for op in layers]
    assert [t.dtype for t in weights] == [DType.INT4] * 4
    assert [(t.quant.axis, len(t.quant.scale)) for t in weights if t.quant] == [(0, 8), (3, 16), (0, 12), (0, 5)]


def test_weights_that_fit_4_bits_change_no_output() -> None:
    """Every filter of values from -7 to 7 that reaches 7 has its own scale among those that are tried."""
    graph = network()
    for op in graph.ops:
        if isinstance(op, WeightedNode):
            held = graph.tensors[op.weights]
            assert held.data is not None
            rows = np.moveaxis(np.clip(held.data // 18, -7, 7), -1 if op.kind == "DepthwiseConv2D" else 0, 0).copy()
            rows.reshape(len(rows), -1)[:, 0] = 7
            data = np.moveaxis(rows, 0, -1) if op.kind == "DepthwiseConv2D" else rows
            graph = graph.with_tensors({op.weights: replace(held, data=np.ascontiguousarray(data))})
    assert noise(graph, requantize_to_int4(graph), range(4)) == 0.0


def test_seen_inputs_lose_less_on_others() -> None:
    graph = network()
    calibrated = requantize_to_int4(graph, [random_inputs(graph, seed) for seed in range(24)])
    others = range(100, 124)
    assert noise(graph, calibrated, others) < 0.7 * noise(graph, requantize_to_int4(graph), others)


def test_moments_are_of_what_a_filter_sees() -> None:
    graph = network()
    found = layer_inputs(graph, [random_inputs(graph, 0)])
    shapes = [found[op].gram.shape for op in graph.ops if isinstance(op, WeightedNode)]
    assert shapes == [(1, 27, 27), (8, 9, 9), (1, 16, 16), (1, 12, 12)]
    first = next(iter(found.values()))
    np.testing.assert_allclose(first.gram, first.gram.transpose(0, 2, 1))


def test_rounding_for_inputs_keeps_their_sums() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(400, 4)) @ rng.normal(size=(4, 24)) + 0.1 * rng.normal(size=(400, 24))  # correlated
    filters = rng.normal(size=(6, 24))
    lost = []
    for values, scales in (round_to_nearest(filters), round_to_inputs(filters, inputs.T @ inputs / len(inputs))):
        assert values.min() >= -8
        assert values.max() <= 7
        lost.append(float(np.mean((inputs @ (filters - values * scales[:, None]).T) ** 2)))
    assert lost[1] < 0.5 * lost[0]
