"""Every kernel, through the whole compiler and the host twin, against the numpy reference, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Padding
from services.compiler.ir.tensor import DType, QuantParams
from services.compiler.options import CompileOptions, Core, Interface, Kernels
from services.compiler.pipeline import Compiled, compile_graph
from services.compiler.quant.reference import run_graph
from tests.compiler.graph_maker import GraphMaker, random_inputs
from tests.compiler.host_twin import HostTwin, build_twins

OPTIONS = CompileOptions("host", Core.CORTEX_M4, interface=Interface.FLOAT, kernels=Kernels.PORTABLE)
NO_PADDING = Padding()
INT4 = DType.INT4
Case = Callable[[GraphMaker], Graph]


def one(step: Callable[[GraphMaker, int], int], *shape: int) -> Case:
    """A graph of one input and what `step` makes of it."""
    return lambda m: m.build(step(m, m.input(*shape)))


def two(kind: str, left: tuple[int, ...], right: tuple[int, ...], **kw: Activation) -> Case:
    return lambda m: m.build(m.binary(kind, m.input(*left), m.input(*right), **kw))


def with_constant(kind: str, shape: tuple[int, ...], constant: tuple[int, ...], *, first: bool = False) -> Case:
    def make(m: GraphMaker) -> Graph:
        x = m.input(*shape)
        c = m.constant(m.random.integers(-128, 128, constant).astype(np.int8), m.quant())
        return m.build(m.binary(kind, *((c, x) if first else (x, c))))

    return make


def alike(kind: str, left: tuple[int, ...], right: tuple[int, ...]) -> Case:
    """Two inputs of one quantization."""

    def make(m: GraphMaker) -> Graph:
        quant = m.quant()
        return m.build(m.binary(kind, m.input(*left, quant=quant), m.input(*right, quant=quant)))

    return make


def twice(m: GraphMaker) -> Graph:
    x = m.input(1, 4, 4, 3)
    return m.build(m.binary("add", x, x))


def split_in_three(m: GraphMaker) -> Graph:
    return m.build(*m.split(m.input(1, 3, 4, 9), 3, (2, 4, 3)))


def split_rows(m: GraphMaker) -> Graph:
    return m.build(*m.split(m.input(1, 6, 4, 3), 1, (2, 4)))


def joined(axis: int, *shapes: tuple[int, ...], activation: Activation = Activation.NONE) -> Case:
    def make(m: GraphMaker) -> Graph:
        quant = m.quant()
        return m.build(m.concatenate(tuple(m.input(*s, quant=quant) for s in shapes), axis, activation))

    return make


def joined_with_constant(m: GraphMaker) -> Graph:
    quant = m.quant()
    constant = m.constant(m.random.integers(-128, 128, (1, 2, 3, 4)).astype(np.int8), quant)
    return m.build(m.concatenate((m.input(1, 2, 3, 5, quant=quant), constant), 3))


def float_in_and_out(m: GraphMaker) -> Graph:
    return m.build(m.dequantize(m.unary("relu", m.quantize(m.input(1, 4, 5, 3, dtype=DType.FLOAT32)))))


def uint8_in_and_out(m: GraphMaker) -> Graph:
    x = m.input(1, 4, 5, 3, quant=QuantParams((0.05,), (128,)), dtype=DType.UINT8)
    return m.build(m.quantize(m.conv2d(m.quantize(x), 4), DType.UINT8))


def float_to_uint8(m: GraphMaker) -> Graph:
    return m.build(m.quantize(m.input(7, dtype=DType.FLOAT32), DType.UINT8))


def uint8_to_float(m: GraphMaker) -> Graph:
    return m.build(m.dequantize(m.input(9, quant=QuantParams((0.3125,), (100,)), dtype=DType.UINT8)))


def large_multiplier(m: GraphMaker) -> Graph:
    """A scale ratio above 1: the requantization shifts left."""
    x = m.input(1, 4, 4, 2, quant=QuantParams((2.0,), (3,)))
    y = m.conv2d(x, 3, (1, 1))
    m.tensors[y] = replace(m.tensors[y], quant=QuantParams((0.001,), (-5,)))
    return m.build(y)


CASES: dict[str, Case] = {
    "conv 3x3 same": one(lambda m, x: m.conv2d(x, 5), 1, 7, 6, 3),
    "conv 3x3 one channel in": one(lambda m, x: m.conv2d(x, 4), 1, 7, 6, 1),
    "conv 1x1 odd channels": one(lambda m, x: m.conv2d(x, 7, (1, 1)), 1, 5, 4, 9),
    "conv 1x1 one output channel": one(lambda m, x: m.conv2d(x, 1, (1, 1)), 1, 5, 4, 6),
    "conv valid stride 2": one(lambda m, x: m.conv2d(x, 4, stride=(2, 2), padding=NO_PADDING), 1, 9, 8, 3),
    "conv same stride 2 relu6": one(
        lambda m, x: m.conv2d(x, 4, stride=(2, 2), activation=Activation.RELU6), 1, 8, 8, 3
    ),
    "conv 10x4 stride 2": one(lambda m, x: m.conv2d(x, 6, (10, 4), (2, 2)), 1, 25, 10, 1),
    "conv 1x5 (1-D)": one(lambda m, x: m.conv2d(x, 6, (1, 5)), 1, 1, 16, 4),
    "conv 3x1 stride 3x1": one(lambda m, x: m.conv2d(x, 4, (3, 1), (3, 1)), 1, 10, 3, 5),
    "conv dilated": one(lambda m, x: m.conv2d(x, 4, dilation=(2, 3)), 1, 9, 11, 3),
    "conv dilated valid": one(lambda m, x: m.conv2d(x, 4, dilation=(2, 2), padding=NO_PADDING), 1, 9, 11, 3),
    "conv kernel larger than image": one(lambda m, x: m.conv2d(x, 3, (5, 5)), 1, 2, 3, 4),
    "conv asymmetric padding": one(lambda m, x: m.conv2d(x, 3, padding=Padding(0, 2, 3, 1)), 1, 5, 5, 2),
    "conv without bias": one(lambda m, x: m.conv2d(x, 3, bias=False), 1, 5, 5, 2),
    "conv relu n1 to 1": one(lambda m, x: m.conv2d(x, 3, activation=Activation.RELU_N1_TO_1), 1, 5, 5, 2),
    "conv shifting left": large_multiplier,
    "depthwise 3x3": one(lambda m, x: m.depthwise(x), 1, 8, 7, 5),
    "depthwise 3x3 in place": one(lambda m, x: m.depthwise(m.conv2d(x, 64, (1, 1))), 1, 8, 7, 5),
    "depthwise 3x3 stride 2 in place": one(
        lambda m, x: m.depthwise(m.conv2d(x, 96, (1, 1)), stride=(2, 2), activation=Activation.RELU), 1, 8, 7, 120
    ),
    "depthwise 7x5 in place": one(lambda m, x: m.depthwise(m.conv2d(x, 96, (1, 1)), kernel=(7, 5)), 1, 6, 9, 5),
    "depthwise growing in place": one(
        lambda m, x: m.conv2d(m.depthwise(m.conv2d(x, 96, (1, 1)), padding=Padding(2, 2, 2, 2)), 99, (1, 1)), 1, 6, 6, 3
    ),
    "depthwise multiplier 3": one(lambda m, x: m.depthwise(x, 3), 1, 6, 7, 2),
    "depthwise multiplier 8 of one channel": one(lambda m, x: m.depthwise(x, 8, (10, 8), (2, 2)), 1, 20, 12, 1),
    "depthwise stride 2": one(lambda m, x: m.depthwise(x, stride=(2, 2)), 1, 8, 8, 4),
    "depthwise dilated": one(lambda m, x: m.depthwise(x, dilation=(2, 2)), 1, 9, 8, 4),
    "depthwise dilated in place": one(lambda m, x: m.depthwise(m.conv2d(x, 200, (1, 1)), dilation=(2, 3)), 1, 9, 8, 4),
    "depthwise valid": one(lambda m, x: m.depthwise(x, padding=NO_PADDING, activation=Activation.RELU6), 1, 8, 8, 4),
    "dense": one(lambda m, x: m.dense(x, 7), 1, 19),
    "dense per channel relu": one(lambda m, x: m.dense(x, 7, per_channel=True, activation=Activation.RELU), 1, 19),
    "dense of a batch": one(lambda m, x: m.dense(x, 3), 5, 8),
    "dense of one": one(lambda m, x: m.dense(x, 1), 1, 1),
    "conv int4 3x3 same": one(lambda m, x: m.conv2d(x, 5, weights=INT4), 1, 7, 6, 3),
    "conv int4 1x1": one(lambda m, x: m.conv2d(x, 8, (1, 1), weights=INT4), 1, 5, 4, 16),
    "conv int4 one output channel": one(lambda m, x: m.conv2d(x, 1, (1, 1), weights=INT4), 1, 5, 4, 7),
    "conv int4 dilated stride 2": one(
        lambda m, x: m.conv2d(x, 3, (3, 2), (2, 1), (1, 2), weights=INT4, activation=Activation.RELU), 1, 9, 11, 2
    ),
    "conv int4 kernel larger than image": one(lambda m, x: m.conv2d(x, 3, (5, 5), weights=INT4), 1, 2, 3, 4),
    "depthwise int4": one(lambda m, x: m.depthwise(x, weights=INT4), 1, 8, 7, 5),
    "depthwise int4 one channel": one(lambda m, x: m.depthwise(x, weights=INT4), 1, 8, 7, 1),
    "depthwise int4 multiplier 2": one(lambda m, x: m.depthwise(x, 2, stride=(2, 2), weights=INT4), 1, 8, 7, 4),
    "depthwise int4 multiplier 3": one(lambda m, x: m.depthwise(x, 3, dilation=(2, 1), weights=INT4), 1, 8, 7, 3),
    "depthwise int4 3x3 in place": one(
        lambda m, x: m.depthwise(m.conv2d(x, 64, (1, 1)), weights=INT4), 1, 8, 7, 5
    ),
    "depthwise int4 7x5 in place": one(
        lambda m, x: m.depthwise(m.conv2d(x, 95, (1, 1)), kernel=(7, 5), weights=INT4), 1, 6, 9, 5
    ),
    "dense int4": one(lambda m, x: m.dense(x, 7, weights=INT4), 1, 19),
    "dense int4 per channel": one(lambda m, x: m.dense(x, 8, per_channel=True, weights=INT4), 3, 20),
    "dense int4 of one": one(lambda m, x: m.dense(x, 1, weights=INT4), 1, 1),
    "add": two("add", (1, 5, 4, 3), (1, 5, 4, 3)),
    "add relu": two("add", (1, 5, 4, 3), (1, 5, 4, 3), activation=Activation.RELU),
    "add to itself": twice,
    "add a vector": two("add", (1, 5, 4, 3), (3,)),
    "add a vector on the left": two("add", (3,), (1, 5, 4, 3)),
    "add across": two("add", (1, 5, 1, 3), (1, 1, 4, 1)),
    "add in four dimensions": two("add", (2, 1, 4, 1), (2, 5, 1, 3)),
    "add of rank 2": two("add", (6, 3), (6, 3)),
    "add a constant": with_constant("add", (1, 5, 4, 3), (3,)),
    "sub": two("sub", (1, 5, 4, 3), (1, 5, 4, 3)),
    "sub from a constant": with_constant("sub", (1, 5, 4, 3), (1, 1, 1, 1), first=True),
    "mul": two("mul", (1, 5, 4, 3), (1, 5, 4, 3), activation=Activation.RELU6),
    "mul by channel gates": two("mul", (1, 5, 4, 3), (1, 1, 1, 3)),
    "mul by a mask": two("mul", (1, 5, 4, 3), (1, 5, 4, 1)),
    "mul by a constant scalar": with_constant("mul", (1, 5, 4, 3), (1,)),
    "maximum": alike("maximum", (1, 5, 4, 3), (1, 5, 4, 3)),
    "minimum of a vector": alike("minimum", (1, 5, 4, 3), (3,)),
    "prelu a slope a channel": one(lambda m, x: m.prelu(x, (3,)), 1, 5, 4, 3),
    "prelu a slope an element": one(lambda m, x: m.prelu(x, (5, 4, 3)), 1, 5, 4, 3),
    "average pool": one(lambda m, x: m.pool("average", x, (2, 2), (2, 2)), 1, 8, 8, 5),
    "average pool with padding": one(lambda m, x: m.pool("average", x, (3, 3), (2, 2)), 1, 7, 8, 5),
    "average pool of everything": one(lambda m, x: m.pool("average", x, (25, 5), padding=NO_PADDING), 1, 25, 5, 6),
    "average pool relu": one(lambda m, x: m.pool("average", x, (3, 3), activation=Activation.RELU), 1, 5, 5, 2),
    "max pool": one(lambda m, x: m.pool("max", x, (2, 2), (2, 2)), 1, 8, 8, 5),
    "max pool with padding": one(lambda m, x: m.pool("max", x, (3, 3), (2, 2)), 1, 7, 8, 5),
    "max pool relu6": one(lambda m, x: m.pool("max", x, (3, 2), activation=Activation.RELU6), 1, 5, 5, 2),
    "mean over the image": one(lambda m, x: m.mean(x, (1, 2), keep=False), 1, 5, 4, 6),
    "mean kept": one(lambda m, x: m.mean(x, (1, 2)), 1, 5, 4, 6),
    "mean over channels": one(lambda m, x: m.mean(x, (3,)), 1, 5, 4, 6),
    "mean over rows": one(lambda m, x: m.mean(x, (1,), keep=False), 1, 5, 4, 6),
    "mean over rows and channels": one(lambda m, x: m.mean(x, (1, 3)), 1, 5, 4, 6),
    "mean over batch and columns": one(lambda m, x: m.mean(x, (0, 2)), 2, 5, 4, 6),
    "mean over what is one": one(lambda m, x: m.mean(x, (1, 2)), 1, 1, 1, 6),
    "mean of rank 2": one(lambda m, x: m.mean(x, (1,)), 4, 9),
    "mean in two halves": one(lambda m, x: m.mean_in_halves(x), 1, 5, 4, 7),
    "mean in two halves, dimensions dropped": one(lambda m, x: m.mean_in_halves(x, keep=False), 1, 1, 9, 4),
    "mean in two halves of what is computed": one(lambda m, x: m.mean_in_halves(m.conv2d(x, 9, (1, 1))), 1, 5, 4, 3),
    "pool over the image": one(lambda m, x: m.global_pool(x), 1, 5, 4, 6),
    "pool in two halves": one(lambda m, x: m.pool_in_halves(x), 1, 5, 4, 7),
    "pool in two halves, clamped": one(lambda m, x: m.pool_in_halves(x, Activation.RELU), 1, 3, 3, 9),
    "pool in two halves of what is computed": one(lambda m, x: m.pool_in_halves(m.conv2d(x, 9, (1, 1))), 1, 5, 4, 3),
    "sum over the image": one(lambda m, x: m.sum(x, (1, 2), keep=False), 1, 5, 4, 6),
    "sum over channels": one(lambda m, x: m.sum(x, (3,)), 1, 5, 4, 6),
    "image transposed": one(lambda m, x: m.transpose_image(x), 1, 5, 7, 3),
    "image transposed, of many channels": one(lambda m, x: m.transpose_image(m.conv2d(x, 12, (1, 1))), 1, 4, 9, 2),
    "image transposed twice": one(lambda m, x: m.transpose_image(m.transpose_image(x)), 1, 6, 4, 1),
    "pad": one(lambda m, x: m.pad(x, (0, 1, 2, 0), (0, 3, 0, 1)), 1, 4, 5, 3),
    "pad rows only": one(lambda m, x: m.pad(x, (0, 2, 0, 0), (0, 1, 0, 0)), 1, 4, 5, 3),
    "pad rank 2": one(lambda m, x: m.pad(x, (1, 2), (0, 3)), 4, 5),
    "pad batch": one(lambda m, x: m.pad(x, (1, 0, 0, 0), (1, 0, 0, 0)), 1, 4, 5, 3),
    "softmax": one(lambda m, x: m.unary("softmax", x), 1, 12),
    "softmax with beta": one(lambda m, x: m.unary("softmax", x, beta=0.3), 1, 12),
    "softmax of a batch": one(lambda m, x: m.unary("softmax", x), 1, 3, 4, 5),
    "softmax of many": one(lambda m, x: m.unary("softmax", x, beta=0.01), 1, 700),
    "softmax of one": one(lambda m, x: m.unary("softmax", x), 1, 1),
    "logistic": one(lambda m, x: m.unary("logistic", x), 1, 4, 4, 16),
    "tanh": one(lambda m, x: m.unary("tanh", x), 1, 4, 4, 16),
    "hard swish": one(lambda m, x: m.unary("hard_swish", x), 1, 4, 4, 16),
    "relu": one(lambda m, x: m.unary("relu", x), 1, 4, 4, 16),
    "relu6": one(lambda m, x: m.unary("relu", x, activation=Activation.RELU6), 256),
    "leaky relu": one(lambda m, x: m.unary("leaky_relu", x, alpha=0.3), 1, 4, 4, 16),
    "table": one(lambda m, x: m.table(x), 1, 4, 4, 16),
    "float edges": float_in_and_out,
    "uint8 edges": uint8_in_and_out,
    "float to uint8": float_to_uint8,
    "uint8 to float": uint8_to_float,
    "requantize": one(lambda m, x: m.quantize(x), 1, 4, 4, 16),
    "concatenate channels": joined(3, (1, 3, 4, 2), (1, 3, 4, 5), (1, 3, 4, 1)),
    "concatenate rows": joined(1, (1, 3, 4, 2), (1, 2, 4, 2)),
    "concatenate columns": joined(2, (1, 3, 4, 2), (1, 3, 1, 2)),
    "concatenate batches": joined(0, (1, 3, 4, 2), (2, 3, 4, 2)),
    "concatenate rank 2": joined(1, (2, 5), (2, 3)),
    "concatenate relu": joined(3, (1, 3, 4, 2), (1, 3, 4, 5), activation=Activation.RELU),
    "concatenate a constant": joined_with_constant,
    "slice": one(lambda m, x: m.slice(x, (0, 1, 0, 2), (1, 5, 4, 5), (1, 2, 1, 1)), 1, 6, 4, 5),
    "slice backwards": one(lambda m, x: m.slice(x, (0, 5, 0, 4), (1, 0, 4, 1), (1, -2, 1, -1)), 1, 6, 4, 5),
    "slice dropping dimensions": one(
        lambda m, x: m.slice(x, (0, 2, 0, 0), (1, 3, 4, 5), (1, 1, 1, 1), (4, 5)), 1, 6, 4, 5
    ),
    "split channels": split_in_three,
    "split rows": split_rows,
    "transpose": one(lambda m, x: m.transpose(x, (0, 3, 1, 2)), 1, 4, 5, 3),
    "transpose rank 2": one(lambda m, x: m.transpose(x, (1, 0)), 4, 5),
    "transpose rank 3": one(lambda m, x: m.transpose(x, (2, 0, 1)), 2, 4, 5),
    "resize": one(lambda m, x: m.resize(x, 8, 10), 1, 4, 5, 3),
    "resize down": one(lambda m, x: m.resize(x, 3, 2), 1, 7, 5, 3),
    "resize corners": one(lambda m, x: m.resize(x, 7, 9, corners=True), 1, 4, 5, 3),
    "resize half pixel": one(lambda m, x: m.resize(x, 6, 9, half=True), 1, 4, 5, 3),
    "rnn pool": one(lambda m, x: m.rnn_pool(x, 5, 3), 1, 8, 12, 3),
    "rnn pool of overlapping patches": one(lambda m, x: m.rnn_pool(x, 4, 6, (6, 5), (3, 2)), 1, 13, 11, 2),
    "rnn pool with padding": one(lambda m, x: m.rnn_pool(x, 6, 4, (3, 4), (2, 3), Padding(1, 2, 3, 1)), 1, 7, 9, 5),
    "rnn pool of gaps": one(lambda m, x: m.rnn_pool(x, 1, 1, (2, 1), (3, 3)), 1, 8, 8, 1),
    "bilinear": one(lambda m, x: m.resize(x, 8, 10, bilinear=True), 1, 4, 5, 3),
    "bilinear down": one(lambda m, x: m.resize(x, 3, 2, bilinear=True), 1, 7, 5, 3),
    "bilinear corners": one(lambda m, x: m.resize(x, 7, 9, bilinear=True, corners=True), 1, 4, 5, 3),
    "bilinear half pixel": one(lambda m, x: m.resize(x, 9, 7, bilinear=True, half=True), 1, 4, 5, 3),
    "reshape": one(lambda m, x: m.dense(m.reshape(m.pool("max", x, (2, 2), (2, 2)), 1, 16), 3), 1, 4, 8, 2),
}  # fmt: skip


def compiled_case(number: int, name: str) -> tuple[Graph, Compiled]:
    graph = CASES[name](GraphMaker(seed=number, name=f"case {number}"))
    return graph, compile_graph(graph, graph, OPTIONS)


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Graph, HostTwin]]:
    compiled = {name: compiled_case(number, name) for number, name in enumerate(CASES)}
    built = build_twins([c for _, c in compiled.values()], tmp_path_factory.mktemp("kernels"))
    return {name: (graph, twin) for (name, (graph, _)), twin in zip(compiled.items(), built, strict=True)}


@pytest.mark.parametrize("name", CASES)
def test_kernel_equals_reference(name: str, twins: dict[str, tuple[Graph, HostTwin]]) -> None:
    graph, twin = twins[name]
    for seed in range(4):
        inputs = random_inputs(graph, seed)
        for got, want in zip(twin.run(*inputs), run_graph(graph, inputs), strict=True):
            np.testing.assert_array_equal(got, want)


def test_float_edges_round_halves_away_and_saturate(twins: dict[str, tuple[Graph, HostTwin]]) -> None:
    graph, twin = twins["float to uint8"]
    steps = np.array([0.5, -0.5, 1.5, -2.5, 0.49999997, np.inf, np.nan], np.float32) * np.float32(1.0)
    inputs = (np.where(np.isfinite(steps), steps * np.float32(0.07), steps).astype(np.float32),)
    with np.errstate(invalid="ignore"):
        want = run_graph(graph, inputs)[0]
    np.testing.assert_array_equal(twin.run(*inputs)[0], want)


@pytest.mark.parametrize("name", [name for name in CASES if "in place" in name])
def test_in_place_cases_use_a_plane(name: str) -> None:
    _, compiled = compiled_case(0, name)
    kernel = "tf_depthwise_conv2d_plane_s4" if "int4" in name else "tf_depthwise_conv2d_plane_s8"
    assert f"{kernel}.c" in compiled.manifest.sources
