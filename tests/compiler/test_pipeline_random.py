"""Random graphs through the whole compiler and the host twin, against the numpy reference, bit for bit.

TINYFARM_FUZZ_EXAMPLES multiplies the number of graphs (`make fuzz`).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from services.compiler.importers.rules.arithmetic import no_activation
from services.compiler.importers.supported import RULES
from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.tensor import DType, QuantParams, TensorId
from services.compiler.options import CompileOptions, Core, Interface, Kernels
from services.compiler.passes.optimize import optimize
from services.compiler.pipeline import compile_graph
from services.compiler.quant.reference import run_graph
from tests.compiler.graph_maker import GraphMaker, random_inputs
from tests.compiler.host_twin import build_twins

EXAMPLES = 20 * int(os.environ.get("TINYFARM_FUZZ_EXAMPLES", "1"))
ACTIVATIONS = st.sampled_from(list(Activation))
WEIGHTS = st.sampled_from([DType.INT8, DType.INT8, DType.INT4])
SMALL = st.integers(1, 3)
PAIR = st.tuples(SMALL, SMALL)
KERNEL = st.tuples(st.integers(1, 5), st.integers(1, 5))


class Grower:
    """Adds one random operator at a time to a pool of 4-D int8 tensors."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.m = GraphMaker(seed=draw(st.integers(0, 1 << 20)), name="random", wild=draw(st.booleans()))
        self.begin((1, draw(st.integers(1, 10)), draw(st.integers(1, 10)), draw(st.integers(1, 9))))

    def begin(self, shape: tuple[int, int, int, int]) -> None:
        """Draw one to three inputs: the first float or int8, others of its shape, of its quantization, or a vector."""
        first = self.draw(st.booleans())
        self.pool = [self.m.quantize(self.m.input(*shape, dtype=DType.FLOAT32)) if first else self.m.input(*shape)]
        for kind in self.draw(st.lists(st.sampled_from(["alike", "same", "vector"]), max_size=2)):
            wanted = (1, 1, 1, shape[3]) if kind == "vector" else shape
            quant = self.m.same_quant(self.pool[-1]) if kind == "alike" else None
            self.pool.insert(0, self.m.input(*wanted, quant=quant))

    def grown(self, most_steps: int, most_more_outputs: int) -> Graph:
        """Grow some steps; the newest tensor is an output, as int8 or as floats, and some older ones may be, too."""
        for _ in range(self.draw(st.integers(1, most_steps))):
            self.grow()
        older = st.sampled_from(self.pool[:-1] or self.pool)
        outputs = [self.pool[-1], *self.draw(st.lists(older, max_size=most_more_outputs))]
        if self.draw(st.booleans()):
            outputs[0] = self.m.dequantize(outputs[0])
        return self.m.build(*dict.fromkeys(outputs))

    def pick(self) -> TensorId:
        """Mostly the newest tensor, so that graphs get deep; sometimes an older one, so that they branch."""
        recent = self.pool[-1]
        return self.draw(st.one_of(st.just(recent), st.just(recent), st.sampled_from(self.pool)))

    def grow(self) -> None:
        steps: list[Callable[[TensorId], TensorId]] = [
            self.conv, self.conv, self.depthwise, self.depthwise, self.pooled, self.binary, self.scaled, self.unary,
            self.requantize, self.reduce, self.pad, self.concatenate, self.slice, self.split, self.transpose,
            self.resize, self.reshape, self.dense, self.rnn_pool, self.extremum, self.prelu, self.table, self.broadcast,
            self.function,
        ]  # fmt: skip
        self.take(self.draw(st.sampled_from(steps)), 20_000)

    def take(self, step: Callable[[TensorId], TensorId], most_elements: int) -> None:
        """Keep what a step adds unless it is too large or breaks a rule that the importers would refuse it for."""
        ops, pool = len(self.m.ops), list(self.pool)
        t = step(self.pick())
        draft = Graph("draft", self.m.tensors, tuple(self.m.ops), tuple(self.m.inputs), ())
        if any(rule(draft, op) for op in self.m.ops[ops:] for rule in RULES[type(op)] if rule is not no_activation):
            del self.m.ops[ops:]
            self.pool = pool
        elif self.m.tensors[t].elements <= most_elements:
            self.pool.append(t)

    def conv(self, x: TensorId) -> TensorId:
        return self.m.conv2d(
            x, self.draw(st.integers(1, 24)), self.draw(KERNEL), self.draw(PAIR), self.draw(PAIR),
            activation=self.draw(ACTIVATIONS), bias=self.draw(st.booleans()), weights=self.draw(WEIGHTS),
        )  # fmt: skip

    def depthwise(self, x: TensorId) -> TensorId:
        return self.m.depthwise(
            x, self.draw(st.sampled_from([1, 1, 1, 2])), self.draw(KERNEL), self.draw(PAIR), self.draw(PAIR),
            activation=self.draw(ACTIVATIONS), weights=self.draw(WEIGHTS),
        )  # fmt: skip

    def pooled(self, x: TensorId) -> TensorId:
        kind = self.draw(st.sampled_from(["average", "max"]))
        return self.m.pool(kind, x, self.draw(PAIR), self.draw(PAIR), activation=self.draw(ACTIVATIONS))

    def binary(self, x: TensorId) -> TensorId:
        same = [t for t in self.pool if self.m.shape(t) == self.m.shape(x)]
        kind = self.draw(st.sampled_from(["add", "sub", "mul"]))
        return self.m.binary(kind, x, self.draw(st.sampled_from(same)), self.draw(ACTIVATIONS))

    def scaled(self, x: TensorId) -> TensorId:
        """Squeeze and excite: gates of the channels times the image."""
        squeezed = self.m.global_pool(x, self.draw(ACTIVATIONS)) if self.draw(st.booleans()) else self.m.mean(x, (1, 2))
        return self.m.binary("mul", x, self.m.unary("logistic", self.m.conv2d(squeezed, self.m.shape(x)[3], (1, 1))))

    def unary(self, x: TensorId) -> TensorId:
        kind = self.draw(st.sampled_from(["logistic", "tanh", "hard_swish", "relu", "leaky_relu", "softmax"]))
        return self.m.unary(kind, x, **({"alpha": 0.2} if kind == "leaky_relu" else {}))

    def requantize(self, x: TensorId) -> TensorId:
        return self.m.quantize(x)

    def reduce(self, x: TensorId) -> TensorId:
        reduce = self.draw(st.sampled_from([self.m.mean, self.m.mean, self.m.sum]))
        return reduce(x, self.draw(st.sampled_from([(1,), (2,), (1, 2), (3,), (1, 2, 3)])))

    def extremum(self, x: TensorId) -> TensorId:
        """Against a pool of the same tensor, or against a number."""
        kind = self.draw(st.sampled_from(["maximum", "minimum"]))
        if self.draw(st.booleans()):
            return self.m.binary(kind, x, self.number(self.m.same_quant(x)))
        return self.m.binary(kind, x, self.m.pool("average", x, self.draw(PAIR)))

    def number(self, quant: QuantParams | None = None) -> TensorId:
        value = np.array([[[[self.draw(st.integers(-128, 127))]]]], np.int8)
        return self.m.constant(value, quant or self.m.quant())

    def prelu(self, x: TensorId) -> TensorId:
        _, h, w, c = self.m.shape(x)
        return self.m.prelu(x, self.draw(st.sampled_from([(c,), (1,), (h, w, c), (1, w, 1)])))

    def table(self, x: TensorId) -> TensorId:
        return self.m.table(x)

    def broadcast(self, x: TensorId) -> TensorId:
        """With a constant a channel or a number, or with a row, column or pixel of the tensor itself."""
        kind, relu = self.draw(st.sampled_from(["add", "sub", "mul"])), self.draw(ACTIVATIONS)
        match self.draw(st.sampled_from(["channels", "number", "row", "column", "pixel"])):
            case "channels":
                data = self.m.random.integers(-128, 128, self.m.shape(x)[3:]).astype(np.int8)
                other = self.m.constant(data, self.m.quant())
            case "number":
                other = self.number()
            case part:
                other = self.m.mean(x, {"row": (1,), "column": (2,), "pixel": (1, 2)}[part])
        pair = (other, x) if self.draw(st.booleans()) else (x, other)
        return self.m.binary(kind, *pair, relu)

    def function(self, x: TensorId) -> TensorId:
        """Several operators that are a function of one tensor."""
        match self.draw(st.sampled_from(["silu", "hard sigmoid", "square", "clip"])):
            case "silu":
                return self.m.binary("mul", x, self.m.unary("logistic", x))
            case "hard sigmoid":
                return self.m.binary("mul", self.m.binary("add", x, self.number(), Activation.RELU6), self.number())
            case "square":
                return self.m.binary("mul", x, x)
            case _:
                low = self.m.binary("maximum", x, self.number(self.m.same_quant(x)))
                return self.m.binary("minimum", low, self.number(self.m.same_quant(x)))

    def pad(self, x: TensorId) -> TensorId:
        before, after = self.draw(PAIR), self.draw(PAIR)
        return self.m.pad(x, (0, *before, 0), (0, *after, self.draw(st.integers(0, 2))))

    def concatenate(self, x: TensorId) -> TensorId:
        axis = self.draw(st.integers(1, 3))
        other = self.m.pool("max", x, (1, 1))  # same quantization, so that TFLite allows it
        return self.m.concatenate((x, other), axis)

    def slice(self, x: TensorId) -> TensorId:
        shape = self.m.shape(x)
        begin = tuple(self.draw(st.integers(0, d - 1)) for d in shape)
        end = tuple(self.draw(st.integers(b + 1, d)) for b, d in zip(begin, shape, strict=True))
        return self.m.slice(x, begin, end, tuple(self.draw(st.integers(1, 3)) for _ in shape))

    def split(self, x: TensorId) -> TensorId:
        axis = self.draw(st.integers(1, 3))
        size = self.m.shape(x)[axis]
        if size < 2:
            return self.requantize(x)
        cut = self.draw(st.integers(1, size - 1))
        parts = self.m.split(x, axis, (cut, size - cut))
        self.pool.append(parts[0])
        return parts[1]

    def transpose(self, x: TensorId) -> TensorId:
        return self.m.transpose(x, (0, *self.draw(st.permutations([1, 2, 3]))))

    def resize(self, x: TensorId) -> TensorId:
        corners = self.draw(st.booleans())
        half = not corners and self.draw(st.booleans())
        h, w, bilinear = self.draw(st.integers(1, 9)), self.draw(st.integers(1, 9)), self.draw(st.booleans())
        return self.m.resize(x, h, w, corners=corners, half=half, bilinear=bilinear)

    def reshape(self, x: TensorId) -> TensorId:
        _, h, w, c = self.m.shape(x)
        return self.m.reshape(x, *self.draw(st.sampled_from([(1, 1, h * w, c), (1, h, 1, w * c), (1, w, h, c)])))

    def rnn_pool(self, x: TensorId) -> TensorId:
        _, h, w, _ = self.m.shape(x)
        patch = self.draw(st.integers(1, min(h, 5))), self.draw(st.integers(1, min(w, 5)))
        return self.m.rnn_pool(x, self.draw(st.integers(1, 8)), self.draw(st.integers(1, 4)), patch, self.draw(PAIR))

    def dense(self, x: TensorId) -> TensorId:
        per_channel, weights = self.draw(st.booleans()), self.draw(WEIGHTS)
        return self.m.dense(x, self.draw(st.integers(1, 12)), per_channel=per_channel, weights=weights)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    return Grower(draw).grown(most_steps=12, most_more_outputs=2)


PHASES = (Phase.explicit, Phase.generate)  # a failing graph is found again by its seed; shrinking builds hundreds


@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, phases=PHASES, suppress_health_check=list(HealthCheck)
)
@given(graphs(), st.integers(0, 1 << 20))
def test_random_graph_equals_reference(graph: Graph, seed: int) -> None:
    optimized = optimize(graph, Interface.FLOAT)
    options = CompileOptions("host", Core.CORTEX_M4, interface=Interface.FLOAT, kernels=Kernels.PORTABLE)
    compiled = compile_graph(optimized, graph, options)
    inputs = random_inputs(graph, seed)
    wanted = run_graph(graph, inputs)
    with tempfile.TemporaryDirectory() as folder:
        (twin,) = build_twins([compiled], Path(folder), optimize="-O1")
        for got, want in zip(twin.run(*inputs), wanted, strict=True):
            np.testing.assert_array_equal(got, want)
