"""Random networks with pruned filters, large biases and padding: without their constant channels, the same bits."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.compiler.ir import ops
from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Padding
from services.compiler.ir.tensor import QuantParams, TensorId
from services.compiler.ir.verify import verify
from services.compiler.passes.optimize import optimize
from services.compiler.passes.remove_constant_channels import remove_constant_channels
from services.compiler.passes.value_ranges import value_ranges
from services.compiler.passes.zero_constant_filters import zero_constant_filters
from services.compiler.quant.reference import run_all_tensors, run_graph
from tests.compiler.graph_maker import GraphMaker, random_inputs

EXAMPLES = 150 * int(os.environ.get("TINYFARM_FUZZ_EXAMPLES", "1"))
fuzz = settings(max_examples=EXAMPLES, deadline=None, derandomize="TINYFARM_FUZZ_EXAMPLES" not in os.environ)
CHANNELS = 6
RELU = Activation.RELU

Step = Callable[[GraphMaker, TensorId], TensorId]


class PrunedMaker(GraphMaker):
    """Half of the tensors have the zero point that a clamp at zero gives; filters and columns of weights are zeroed."""

    def quant(self) -> QuantParams:
        quant = super().quant()
        return replace(quant, zero_point=(-128,)) if self.random.random() < 0.5 else quant

    def pruned(self, *outputs: TensorId) -> Graph:
        for op in self.ops:
            if isinstance(op, ops.Conv2D | ops.DepthwiseConv2D | ops.FullyConnected):
                self._prune(op)
        return self.build(*outputs)

    def _prune(self, op: ops.Conv2D | ops.DepthwiseConv2D | ops.FullyConnected) -> None:
        axis = 3 if isinstance(op, ops.DepthwiseConv2D) else 0
        weights = np.moveaxis(np.array(self.tensors[op.weights].data), axis, 0)
        weights[self.random.random(len(weights)) < 0.4] = 0
        if axis == 0:
            weights[..., self.random.random(weights.shape[-1]) < 0.2] = 0
        self._set(op.weights, np.moveaxis(weights, 0, axis))
        if op.bias is not None:
            bias = np.array(self.tensors[op.bias].data)
            factors = self.random.choice([-1000, -1, 0, 1, 1000], len(bias))
            self._set(op.bias, bias * factors.astype(np.int32))

    def _set(self, t: TensorId, data: np.ndarray) -> None:
        self.tensors[t] = replace(self.tensors[t], data=np.ascontiguousarray(data))


def grown(make: GraphMaker, x: TensorId) -> TensorId:
    """A larger image."""
    return make.resize(x, 4, 5)


def squeeze_and_excite(make: GraphMaker, x: TensorId) -> TensorId:
    channels = make.shape(x)[3]
    gate = make.conv2d(make.conv2d(make.mean(x, (1, 2)), 3, (1, 1), activation=RELU), channels, (1, 1))
    return make.binary("mul", x, make.unary("logistic", gate))


def joined(make: GraphMaker, x: TensorId) -> TensorId:
    a = make.conv2d(x, 3, (1, 1), activation=RELU)
    b = make.tensor(make.shape(a), make.same_quant(a))
    weights, bias = make.ops[-1].inputs[1:]
    make.add_op(ops.Conv2D(name="shares weights", inputs=(x, weights, bias), outputs=(b,)))
    return make.concatenate((a, make.pool("max", b, (2, 2)), a), 3)


def parted(make: GraphMaker, x: TensorId) -> TensorId:
    channels = make.shape(x)[3]
    a, b = make.split(x, 3, (2, channels - 2))
    return make.concatenate((make.conv2d(a, 2, (1, 1)), b), 3) if channels > 2 else x


def with_constant(make: GraphMaker, x: TensorId) -> TensorId:
    values = make.random.integers(-128, 128, (1, 1, 1, make.shape(x)[3])).astype(np.int8)
    return make.binary("mul", x, make.constant(values, make.quant()), RELU)


STEPS: dict[str, Step] = {
    "conv": lambda make, x: make.conv2d(x, CHANNELS, activation=RELU),
    "conv without padding": lambda make, x: make.conv2d(grown(make, x), CHANNELS, (2, 2), padding=Padding()),
    "strided conv": lambda make, x: make.conv2d(x, CHANNELS, (3, 3), (2, 2), activation=Activation.RELU6),
    "pointwise": lambda make, x: make.conv2d(x, CHANNELS, (1, 1), activation=RELU),
    "pointwise without bias": lambda make, x: make.conv2d(x, CHANNELS, (1, 1), bias=False),
    "depthwise": lambda make, x: make.depthwise(x, 1, activation=RELU),
    "depthwise without padding": lambda make, x: make.depthwise(grown(make, x), 1, (2, 2), padding=Padding()),
    "depthwise times 2": lambda make, x: make.depthwise(x, 2, (3, 3), (2, 2)),
    "residual": lambda make, x: make.binary("add", x, make.conv2d(x, make.shape(x)[3], (1, 1), activation=RELU)),
    "difference": lambda make, x: make.binary("sub", make.depthwise(x, 1, activation=RELU), x),
    "excite": squeeze_and_excite,
    "concatenate": joined,
    "split": parted,
    "constant": with_constant,
    "average pool": lambda make, x: make.pool("average", x, (2, 2)),
    "max pool": lambda make, x: make.pool("max", x, (3, 3), (2, 2)),
    "pad": lambda make, x: make.pad(x, (0, 1, 0, 0), (0, 0, 1, 0)),
    "pad channels": lambda make, x: make.pad(x, (0, 0, 0, 1), (0, 0, 0, 2)),
    "resize": lambda make, x: make.resize(x, 5, 4),
    "hard swish": lambda make, x: make.unary("hard_swish", x),
    "requantize": lambda make, x: make.quantize(x),
    "transpose": lambda make, x: make.transpose(x, (0, 2, 1, 3)),
    "slice": lambda make, x: make.slice(x, (0, 0, 0, 0), make.shape(x), (1, 1, 1, 1)),
}
HEADS: dict[str, Step] = {
    "none": lambda make, x: make.unary("logistic", x),
    "flattened": lambda make, x: make.dense(make.reshape(x, 1, int(np.prod(make.shape(x)))), 3),
    "by channel": lambda make, x: make.dense(make.reshape(x, 1, int(np.prod(make.shape(x)))), 3, per_channel=True),
    "rows": lambda make, x: make.dense(make.reshape(x, make.shape(x)[1] * make.shape(x)[2], make.shape(x)[3]), 3),
    "two layers": lambda make, x: make.dense(make.dense(make.mean(x, (1, 2), keep=False), 4, activation=RELU), 2),
    "small layers by channel": lambda make, x: make.dense(
        make.dense(make.mean(x, (1, 2), keep=False), 2, per_channel=True), 1
    ),
}


def network(names: list[str], head: str, seed: int) -> Graph:
    """Return a chain of the named steps and a head, its weights pruned."""
    make = PrunedMaker(seed)
    x = make.conv2d(make.input(1, 5, 6, 3), CHANNELS, activation=RELU)
    for name in names:
        x = STEPS[name](make, x)
    return make.pruned(HEADS[head](make, x))


networks = st.builds(
    network,
    st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=6),
    st.sampled_from(sorted(HEADS)),
    st.integers(0, 1 << 16),
)


def lean(graph: Graph) -> Graph:
    """Apply the two rewrites alone."""
    return verify(remove_constant_channels(verify(zero_constant_filters(graph))))


def elements(graph: Graph) -> int:
    return sum(tensor.elements for tensor in graph.tensors.values() if not tensor.is_constant)


@fuzz
@given(networks, st.integers(0, 1 << 16))
def test_outputs_are_the_same(graph: Graph, seed: int) -> None:
    for rewrite in (lean, optimize):
        after = rewrite(graph)
        for offset in range(3):
            inputs = random_inputs(graph, seed + offset)
            np.testing.assert_array_equal(run_graph(after, inputs)[0], run_graph(graph, inputs)[0])


@fuzz
@given(networks, st.integers(0, 1 << 16))
def test_every_value_lies_in_its_range(graph: Graph, seed: int) -> None:
    ranges = value_ranges(graph)
    for t, values in run_all_tensors(graph, random_inputs(graph, seed)).items():
        if t in ranges:
            assert (ranges[t].low <= values).all()
            assert (values <= ranges[t].high).all()


def test_most_of_these_networks_lose_channels() -> None:
    chains = [[a, b] for a in sorted(STEPS) for b in ("pointwise", "depthwise")]
    graphs = [network(names, "flattened", seed) for seed, names in enumerate(chains)]
    smaller = [elements(lean(graph)) < elements(graph) for graph in graphs]
    assert sum(smaller) > len(smaller) // 2
