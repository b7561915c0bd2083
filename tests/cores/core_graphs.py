"""Random graphs for the cores' kernels: those of the pipeline's test, with shapes and numbers nearer to the edges."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
import numpy.typing as npt
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Conv2D, DepthwiseConv2D, FullyConnected, Op, Padding
from services.compiler.ir.tensor import QuantParams, TensorId
from services.compiler.quant.reference import run_graph
from tests.compiler.graph_maker import GraphMaker, random_inputs
from tests.compiler.test_pipeline_random import ACTIVATIONS, PAIR, WEIGHTS, Grower

Array = npt.NDArray[np.generic]
EXAMPLES = int(os.environ.get("TINYFARM_FUZZ_EXAMPLES", "1"))
SHAPES = st.one_of(
    st.tuples(st.just(1), st.integers(1, 12), st.integers(1, 12), st.integers(1, 9)),
    st.tuples(st.just(1), st.integers(20, 120), st.integers(1, 20), st.integers(1, 3)),
    st.tuples(st.just(1), st.integers(1, 4), st.integers(20, 130), st.integers(1, 3)),
    st.tuples(st.just(1), st.integers(1, 4), st.integers(1, 4), st.sampled_from([32, 64, 100, 255, 256, 300])),
)
KERNEL = st.one_of(
    st.sampled_from([(1, 1), (1, 1), (3, 3), (5, 5), (7, 7), (10, 4)]),
    st.tuples(st.integers(1, 7), st.integers(1, 12)),
)
CHANNELS = st.one_of(st.integers(1, 24), st.sampled_from([32, 63, 96, 257]))
LIMIT_ELEMENTS = 12_000


class CoreGrower(Grower):
    """Grows graphs mostly of what the cores have kernels for."""

    def __init__(self, draw: st.DrawFn, name: str) -> None:
        self.draw = draw
        self.m = GraphMaker(seed=draw(st.integers(0, 1 << 20)), name=name, wild=draw(st.booleans()))
        self.strain = Strain(self.m, draw(st.integers(0, 1 << 20)))
        self.begin(draw(SHAPES))

    def grow(self) -> None:
        if self.draw(st.integers(0, 9)) < 5:
            super().grow()
            return
        step = self.draw(st.sampled_from([self.conv, self.conv, self.depthwise, self.addition, self.dense]))
        self.take(step if step == self.addition else partial(self.strained, step), LIMIT_ELEMENTS)

    def strained(self, step: Callable[[TensorId], TensorId], x: TensorId) -> TensorId:
        t = step(x)
        self.strain.apply(self.m.ops[-1])
        return t

    def padding(self, x: TensorId, kernel: tuple[int, int], dilation: tuple[int, int]) -> Padding | None:
        """Mostly that of SAME, sometimes any that leaves an output."""
        if self.draw(st.booleans()):
            return None
        sides = [self.draw(st.integers(0, 3)) for _ in range(4)]
        _, h, w, _ = self.m.shape(x)
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        fits = h + sides[0] + sides[1] >= reach[0] and w + sides[2] + sides[3] >= reach[1]
        return Padding(*sides) if fits else None

    def conv(self, x: TensorId) -> TensorId:
        kernel, dilation = self.draw(KERNEL), self.draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (2, 3)]))
        channels = self.draw(CHANNELS)
        if channels * np.prod(kernel) * self.m.tensors[x].elements > 4_000_000:
            channels, kernel = 1 + channels % 8, (1, 1)
        return self.m.conv2d(
            x, channels, kernel, self.draw(PAIR), dilation, self.padding(x, kernel, dilation),
            self.draw(ACTIVATIONS), self.draw(st.booleans()), self.draw(WEIGHTS),
        )  # fmt: skip

    def depthwise(self, x: TensorId) -> TensorId:
        multiplier, kernel = self.draw(st.sampled_from([1, 1, 1, 1, 2])), self.draw(KERNEL)
        dilation = self.draw(st.sampled_from([(1, 1), (1, 1), (1, 1), (2, 2)]))
        return self.m.depthwise(
            x, multiplier, kernel, self.draw(PAIR), dilation, self.padding(x, kernel, dilation),
            self.draw(ACTIVATIONS), self.draw(WEIGHTS),
        )  # fmt: skip

    def addition(self, x: TensorId) -> TensorId:
        same = [t for t in self.pool if self.m.shape(t) == self.m.shape(x)]
        return self.m.binary("add", x, self.draw(st.sampled_from(same)), self.draw(ACTIVATIONS))

    def dense(self, x: TensorId) -> TensorId:
        if self.m.tensors[x].elements <= 2000 and self.draw(st.booleans()):
            x = self.m.reshape(x, 1, 1, 1, self.m.tensors[x].elements)
        return self.m.dense(
            x, self.draw(st.integers(1, 24)), per_channel=self.draw(st.booleans()),
            activation=self.draw(ACTIVATIONS), weights=self.draw(WEIGHTS),
        )  # fmt: skip


class Strain:
    """Changes the numbers of a weighted operator: weights, biases and scales that kernels may not survive."""

    def __init__(self, m: GraphMaker, seed: int) -> None:
        self.m, self.random = m, np.random.default_rng(seed)

    def apply(self, op: Op) -> None:
        """Change the operator, which nothing reads yet."""
        assert isinstance(op, Conv2D | DepthwiseConv2D | FullyConnected)
        self._weights(op.inputs[1], 3 if isinstance(op, DepthwiseConv2D) else 0)
        if self.random.random() < 0.5:
            self._spread(op)
        if len(op.inputs) > 2 and self.random.random() < 0.3:
            self._bias(op.inputs[2])

    def _weights(self, t: TensorId, axis: int) -> None:
        tensor, random = self.m.tensors[t], self.random
        assert tensor.data is not None
        data = np.moveaxis(tensor.data.copy(), axis, 0)
        for channel in range(len(data)):
            match int(random.integers(0, 12)):
                case 0:
                    data[channel] = 0
                case 1:
                    data[channel] = random.choice([-128, -127, 127, 1, -1])
                case 2:
                    data[channel] = random.choice([-128, 127, 0], data[channel].shape)
                case _:
                    pass
        held = np.clip(np.moveaxis(data, 0, axis), *tensor.dtype.value_range)
        self.m.tensors[t] = replace(tensor, data=np.ascontiguousarray(held))

    def _spread(self, op: Conv2D | DepthwiseConv2D | FullyConnected) -> None:
        """Set the output's scale so that results fill int8, or miss it by powers of two."""
        x, weights = self.m.same_quant(op.inputs[0]), self.m.tensors[op.inputs[1]]
        assert weights.quant is not None
        taps = float(np.prod(weights.shape[1:3] if isinstance(op, DepthwiseConv2D) else weights.shape[1:]))
        factor = 2.0 ** float(self.random.choice([0, 0, 0, 0, -4, -1, 2, 12]))
        scale = float(np.float32(x.scale[0] * max(weights.quant.scale) * 100 * taps**0.5 * factor))
        y = self.m.tensors[op.output]
        assert y.quant is not None
        self.m.tensors[op.output] = replace(y, quant=QuantParams((scale,), y.quant.zero_point))

    def _bias(self, t: TensorId) -> None:
        tensor = self.m.tensors[t]
        size = 2.0 ** self.random.uniform(8, 31, tensor.shape)
        values: npt.NDArray[np.float64] = np.clip(size * self.random.choice([-1, 1], tensor.shape), -(2**31), 2**31 - 1)
        self.m.tensors[t] = replace(tensor, data=values.astype(np.int64).astype(np.int32))


@st.composite
def core_graphs(draw: st.DrawFn, name: str = "random") -> Graph:
    return CoreGrower(draw, name).grown(most_steps=8, most_more_outputs=2)


@dataclass(frozen=True)
class Sample:
    """A graph with inputs and what it makes of them."""

    graph: Graph
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]


@cache
def draw_samples(count: int) -> list[Sample]:
    """Return the first so many random graphs, always the same ones, each under a name of its own."""
    drawn: list[Sample] = []

    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(core_graphs(), st.integers(0, 1 << 20))
    def collect(graph: Graph, seed: int) -> None:
        inputs = random_inputs(graph, seed)
        drawn.append(Sample(replace(graph, name=f"r{len(drawn):05}"), inputs, run_graph(graph, inputs)))

    collect()
    return drawn
