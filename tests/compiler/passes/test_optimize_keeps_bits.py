"""Whatever the network, the optimized graph computes the same bits."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.compiler.ir import ops
from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Padding
from services.compiler.ir.tensor import DType, TensorId
from services.compiler.options import Interface
from services.compiler.passes.optimize import optimize
from services.compiler.quant.affine import dequantize, quantize
from services.compiler.quant.reference import run_graph
from services.compiler.quant.values import Array
from tests.compiler.graph_maker import GraphMaker, random_inputs

EXAMPLES = 60 * int(os.environ.get("TINYFARM_FUZZ_EXAMPLES", "1"))
fuzz = settings(max_examples=EXAMPLES, deadline=None, derandomize="TINYFARM_FUZZ_EXAMPLES" not in os.environ)

Step = Callable[[GraphMaker, TensorId], TensorId]


def same_scale_relu(make: GraphMaker, x: TensorId) -> TensorId:
    """A Relu that only clamps."""
    y = make.tensor(make.shape(x), make.same_quant(x))
    return make.add_op(ops.Relu(name="relu", inputs=(x,), outputs=(y,), activation=Activation.RELU6))


def identity_quantize(make: GraphMaker, x: TensorId) -> TensorId:
    y = make.tensor(make.shape(x), make.same_quant(x))
    return make.add_op(ops.Quantize(name="quantize", inputs=(x,), outputs=(y,)))


def reshaped_there_and_back(make: GraphMaker, x: TensorId) -> TensorId:
    shape = make.shape(x)
    return make.reshape(make.reshape(x, int(np.prod(shape))), *shape)


def with_dead_branch(make: GraphMaker, x: TensorId) -> TensorId:
    make.unary("tanh", x)
    return x


STEPS: dict[str, Step] = {
    "pad rows": lambda make, x: make.pad(x, (0, 1, 0, 0), (0, 0, 2, 0)),
    "pad channels": lambda make, x: make.pad(x, (0, 0, 0, 1), (0, 0, 0, 0)),
    "conv": lambda make, x: make.conv2d(x, 3, (2, 2), padding=Padding(bottom=1, right=1)),
    "depthwise": lambda make, x: make.depthwise(x, 1, (3, 3)),
    "relu": same_scale_relu,
    "rescaling relu": lambda make, x: make.unary("relu", x, activation=Activation.RELU),
    "identity quantize": identity_quantize,
    "requantize": lambda make, x: make.quantize(x),
    "reshapes": reshaped_there_and_back,
    "transpose": lambda make, x: make.transpose(x, (0, 2, 1, 3)),
    "identity transpose": lambda make, x: make.transpose(x, (0, 1, 2, 3)),
    "residual": lambda make, x: make.binary("add", x, x),
    "dead branch": with_dead_branch,
}


def network(names: list[str], seed: int, *, float_edges: bool) -> Graph:
    """Return a chain of the named steps, quantized and dequantized at its ends if asked."""
    make = GraphMaker(seed)
    x = make.quantize(make.input(1, 4, 3, 2, dtype=DType.FLOAT32)) if float_edges else make.input(1, 4, 3, 2)
    for name in names:
        x = STEPS[name](make, x)
    return make.build(make.dequantize(x) if float_edges else make.unary("logistic", x))


def run_from_host(graph: Graph, inputs: tuple[Array, ...]) -> Array:
    """Run with float inputs and outputs, quantizing on the host where the edges are integers."""
    source, result = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    assert source.quant is not None
    assert result.quant is not None
    (output,) = run_graph(graph, [quantize(inputs[0], source.quant, source.dtype)])
    return dequantize(output, result.quant)


@fuzz
@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=8), st.integers(0, 1 << 16))
def test_integer_network(names: list[str], seed: int) -> None:
    graph = network(names, seed, float_edges=False)
    inputs = random_inputs(graph, seed)
    optimized = optimize(graph)
    assert len(optimized.ops) <= len(graph.ops)
    np.testing.assert_array_equal(run_graph(optimized, inputs)[0], run_graph(graph, inputs)[0])


@fuzz
@given(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=6), st.integers(0, 1 << 16))
def test_float_network_with_edges_on_the_host(names: list[str], seed: int) -> None:
    graph = network(["requantize", *names], seed, float_edges=True)
    inputs = random_inputs(graph, seed)
    (expected,) = run_graph(graph, inputs)
    np.testing.assert_array_equal(run_graph(optimize(graph, Interface.FLOAT), inputs)[0], expected)
    np.testing.assert_array_equal(run_from_host(optimize(graph, Interface.INT8), inputs), expected)
