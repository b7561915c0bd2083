"""Random graphs of int16 activations through the whole compiler and the host twin, against the numpy reference.

TINYFARM_FUZZ_EXAMPLES multiplies the number of graphs (`make fuzz`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from services.compiler.importers.supported import refusals
from services.compiler.ir.graph import Graph
from services.compiler.ir.tensor import DType, TensorId
from services.compiler.options import CompileOptions, Core, Interface, Kernels
from services.compiler.passes.optimize import optimize
from services.compiler.pipeline import compile_graph
from services.compiler.quant.reference import run_graph
from tests.compiler.graph_maker import GraphMaker, random_inputs
from tests.compiler.host_twin import build_twins
from tests.compiler.test_pipeline_random import ACTIVATIONS, KERNEL, PAIR, Grower

EXAMPLES = 16 * int(os.environ.get("TINYFARM_FUZZ_EXAMPLES", "1"))


class WideGrower(Grower):
    """Adds one random operator at a time to a pool of 4-D int16 tensors."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.m = GraphMaker(seed=draw(st.integers(0, 1 << 20)), name="random", activations=DType.INT16)
        shape = (1, draw(st.integers(1, 10)), draw(st.integers(1, 10)), draw(st.integers(1, 9)))
        if draw(st.booleans()):
            self.pool = [self.m.quantize(self.m.input(*shape, dtype=DType.FLOAT32), DType.INT16)]
        else:
            self.pool = [self.m.input(*shape)]

    def grow(self) -> None:
        steps: list[Callable[[TensorId], TensorId]] = [
            self.conv, self.conv, self.depthwise, self.pooled, self.binary, self.scaled, self.unary, self.requantize,
            self.mean, self.pad, self.concatenate, self.rows, self.split, self.reshape, self.dense,
        ]  # fmt: skip
        t = self.draw(st.sampled_from(steps))(self.pick())
        if self.m.tensors[t].elements <= 20_000:
            self.pool.append(t)

    def conv(self, x: TensorId) -> TensorId:
        return self.m.conv2d(
            x, self.draw(st.integers(1, 12)), self.draw(KERNEL), self.draw(PAIR), self.draw(PAIR),
            activation=self.draw(ACTIVATIONS), bias=self.draw(st.booleans()),
        )  # fmt: skip

    def depthwise(self, x: TensorId) -> TensorId:
        return self.m.depthwise(
            x, self.draw(st.sampled_from([1, 1, 2])), self.draw(KERNEL), self.draw(PAIR), self.draw(PAIR),
            activation=self.draw(ACTIVATIONS),
        )  # fmt: skip

    def dense(self, x: TensorId) -> TensorId:
        return self.m.dense(x, self.draw(st.integers(1, 12)), per_channel=self.draw(st.booleans()))

    def unary(self, x: TensorId) -> TensorId:
        return self.m.unary(self.draw(st.sampled_from(["logistic", "tanh", "relu", "softmax"])), x)

    def requantize(self, x: TensorId) -> TensorId:
        return self.m.quantize(x, DType.INT16)

    def mean(self, x: TensorId) -> TensorId:
        return self.m.mean(x, self.draw(st.sampled_from([(1,), (2,), (1, 2), (3,)])))

    def rows(self, x: TensorId) -> TensorId:
        """Slices keep the elements of the last dimension side by side."""
        shape = self.m.shape(x)
        begin = tuple(self.draw(st.integers(0, d - 1)) for d in shape)
        end = tuple(self.draw(st.integers(b + 1, d)) for b, d in zip(begin, shape, strict=True))
        return self.m.slice(x, begin, end, (*(self.draw(st.integers(1, 3)) for _ in shape[1:]), 1))


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    return WideGrower(draw).grown(most_steps=10, most_more_outputs=1)


def drawn(count: int) -> list[Graph]:
    found: list[Graph] = []

    @settings(
        max_examples=count, deadline=None, derandomize=True, database=None, phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(graphs())
    def collect(graph: Graph) -> None:
        found.append(replace(graph, name=f"wide{len(found):05}"))

    collect()
    return found


def test_random_graphs_equal_the_reference(tmp_path: Path) -> None:
    options = CompileOptions("host", Core.CORTEX_M4, interface=Interface.FLOAT, kernels=Kernels.PORTABLE)
    kept = [graph for graph in drawn(EXAMPLES) if not refusals(graph)]
    assert len(kept) > EXAMPLES // 2
    twins = []
    for start in range(0, len(kept), 64):
        some = [compile_graph(optimize(g, Interface.FLOAT), g, options) for g in kept[start : start + 64]]
        folder = tmp_path / str(start)
        folder.mkdir()
        twins += build_twins(some, folder, optimize="-O1")
    for graph, twin in zip(kept, twins, strict=True):
        inputs = random_inputs(graph, 7)
        for got, want in zip(twin.run(*inputs), run_graph(graph, inputs), strict=True):
            np.testing.assert_array_equal(got, want, err_msg=graph.name)
