"""Networks of transposed images: the same results, bit for bit, and images moved only where they must be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Padding, Transpose
from services.compiler.ir.planned_ops import PullRows, TransposeImage
from services.compiler.ir.tensor import DType
from services.compiler.passes.by_columns import by_columns
from services.compiler.passes.pull_input import pull_input
from services.compiler.quant.reference import run_graph
from tests.compiler.graph_maker import GraphMaker, random_inputs
from tests.compiler.schedule.image_networks import image_network

WIDE = (1, 5, 12, 3)


def turned(graph: Graph) -> Graph:
    found = by_columns(graph)
    assert found is not None
    return found


def assert_same_results(graph: Graph, other: Graph, seed: int = 0) -> None:
    assert [graph.tensors[t] for t in (*graph.inputs, *graph.outputs)] == [
        other.tensors[t] for t in (*other.inputs, *other.outputs)
    ]
    inputs = random_inputs(graph, seed)
    for found, wanted in zip(run_graph(other, inputs), run_graph(graph, inputs), strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


def kinds(graph: Graph) -> list[str]:
    return [op.kind for op in graph.ops]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(number=st.integers(0, 1 << 20), seed=st.integers(0, 1 << 20))
def test_random_networks_compute_the_same_by_columns(number: int, seed: int) -> None:
    graph = image_network(number)
    if (other := by_columns(graph)) is not None:
        assert_same_results(graph, other, seed)


ONE: dict[str, Callable[[GraphMaker, int], int]] = {
    "conv, everything uneven": lambda m, x: m.conv2d(x, 4, (2, 3), (1, 2), (2, 1), Padding(0, 1, 2, 3)),
    "depthwise, everything uneven": lambda m, x: m.depthwise(x, 2, (3, 2), (2, 1), (1, 2), Padding(1, 0, 3, 2)),
    "conv of int4 weights": lambda m, x: m.conv2d(x, 4, (3, 5), weights=DType.INT4),
    "conv without bias": lambda m, x: m.conv2d(x, 4, (3, 5), bias=False),
    "average pool at uneven borders": lambda m, x: m.pool("average", x, (3, 4), (2, 3), Padding(2, 0, 1, 3)),
    "max pool": lambda m, x: m.pool("max", x, (1, 5), (1, 3)),
    "pad": lambda m, x: m.pad(x, (0, 1, 2, 3), (0, 4, 5, 6)),
    "slice": lambda m, x: m.slice(x, (0, 1, 10, 0), (1, 5, 2, 3), (1, 2, -3, 1)),
    "slice that drops a dimension": lambda m, x: m.slice(x, (0, 2, 0, 0), (1, 3, 12, 3), (1, 1, 1, 1), (1, 12, 3)),
    "concatenation of rows": lambda m, x: m.concatenate((x, m.unary("relu", x)), 1),
    "split of columns": lambda m, x: m.concatenate(m.split(x, 2, (5, 7))[::-1], 2),
    "mean over the image": lambda m, x: m.mean(x, (1, 2), keep=False),
    "mean over rows": lambda m, x: m.mean(x, (1,)),
    "mean over columns, dropped": lambda m, x: m.mean(x, (2,), keep=False),
    "sum over columns and channels": lambda m, x: m.sum(x, (2, 3)),
    "mean in two halves": lambda m, x: m.mean_in_halves(x),
    "pool over the image": lambda m, x: m.global_pool(x),
    "pool in two halves": lambda m, x: m.pool_in_halves(x),
    "constant of an image": lambda m, x: m.binary("add", x, constant(m, *WIDE)),
    "constant of a row": lambda m, x: m.binary("mul", x, constant(m, 12, 3)),
    "constant of a column": lambda m, x: m.binary("sub", constant(m, 5, 1, 1), x),
    "constant of channels": lambda m, x: m.binary("add", x, constant(m, 3)),
    "gates": lambda m, x: m.binary("mul", x, m.unary("logistic", m.conv2d(m.mean(x, (1, 2)), 3, (1, 1)))),
    "gates of rank 2": lambda m, x: m.binary("mul", x, m.dense(m.mean(x, (1, 2), keep=False), 3)),
    "slopes of every element": lambda m, x: m.prelu(x, WIDE[1:]),
    "table": lambda m, x: m.table(x),
    "softmax of channels": lambda m, x: m.unary("softmax", x),
    "nearest": lambda m, x: m.resize(x, 7, 20, half=True),
    "bilinear": lambda m, x: m.resize(x, 9, 17, bilinear=True),
    "bilinear, corners": lambda m, x: m.resize(x, 3, 23, bilinear=True, corners=True),
    "bilinear, half pixels": lambda m, x: m.resize(x, 11, 25, bilinear=True, half=True),
    "classifier of a flattened image": lambda m, x: m.dense(m.reshape(m.conv2d(x, 2), 1, 120), 4),
    "RNNPool behind": lambda m, x: m.rnn_pool(m.conv2d(x, 2), 3, 2, (2, 3), (2, 2)),
    "float and back": lambda m, x: m.quantize(m.dequantize(m.conv2d(x, 2))),
}


def constant(m: GraphMaker, *shape: int) -> int:
    return m.constant(m.random.integers(-128, 128, shape).astype(np.int8), m.quant())


@pytest.mark.parametrize("name", ONE)
def test_operator_computes_the_same_by_columns(name: str) -> None:
    m = GraphMaker(seed=3)
    x = m.conv2d(m.input(*WIDE), 3, (3, 3))
    graph = m.build(ONE[name](m, x))
    assert_same_results(graph, turned(graph))


def test_image_is_transposed_in_place_and_a_mean_needs_no_way_back() -> None:
    m = GraphMaker(seed=0)
    x = m.depthwise(m.conv2d(m.input(*WIDE), 4), kernel=(3, 5))
    graph = m.build(m.dense(m.mean(x, (1, 2), keep=False), 4))
    other = turned(graph)
    assert kinds(other) == ["TransposeImage", *kinds(graph)]
    assert other.ops[0].inputs == graph.inputs
    assert other.tensors[other.ops[2].output].shape == (1, 12, 5, 4)


def test_what_needs_rows_gets_them_back_in_place() -> None:
    m = GraphMaker(seed=0)
    x = m.conv2d(m.input(*WIDE), 2)
    graph = m.build(m.dense(m.reshape(x, 1, 120), 4))
    assert kinds(turned(graph)) == ["TransposeImage", "Conv2D", "TransposeImage", "Reshape", "FullyConnected"]


def test_output_that_is_read_again_is_copied_back() -> None:
    m = GraphMaker(seed=0)
    x = m.conv2d(m.input(*WIDE), 2)
    graph = m.build(x, m.mean(m.conv2d(x, 2), (1, 2)))
    assert sorted(kinds(turned(graph))) == ["Conv2D", "Conv2D", "Mean", "Transpose", "TransposeImage"]


def test_float_image_is_quantized_before_it_is_transposed() -> None:
    m = GraphMaker(seed=0)
    x = m.conv2d(m.quantize(m.input(*WIDE, dtype=DType.FLOAT32)), 2)
    graph = m.build(m.dequantize(x))
    assert kinds(turned(graph)) == ["Quantize", "TransposeImage", "Conv2D", "TransposeImage", "Dequantize"]
    assert_same_results(graph, turned(graph))


@pytest.mark.parametrize("kept", ["output", "other reader", "reader of the same bytes"])
def test_image_that_is_needed_as_it_is_stays(kept: str) -> None:
    m = GraphMaker(seed=0)
    x = m.input(*WIDE)
    match kept:
        case "output":
            others = [x]
        case "other reader":
            others = [m.dense(m.reshape(x, 1, 180), 3)]
        case _:
            flat = m.input(1, 180)
            x, others = m.reshape(flat, *WIDE), [m.dense(flat, 3)]
    graph = m.build(m.mean(m.conv2d(x, 2), (1, 2)), *others)
    moves = [op for op in turned(graph).ops if isinstance(op, Transpose | TransposeImage)]
    assert [op.kind for op in moves] == ["Transpose"]
    assert_same_results(graph, turned(graph))


def test_signal_of_one_row_moves_nothing() -> None:
    m = GraphMaker(seed=0)
    x = m.conv2d(m.input(1, 1, 40, 3), 4, (1, 5), (1, 2))
    graph = m.build(m.conv2d(x, 2, (1, 3)))
    other = turned(graph)
    assert kinds(other) == ["Reshape", "Conv2D", "Conv2D", "Reshape"]
    assert_same_results(graph, other)


def test_weights_that_are_not_known_are_swapped_all_the_same() -> None:
    m = GraphMaker(seed=0)
    graph = m.build(m.depthwise(m.conv2d(m.input(*WIDE), 4, (3, 5)), kernel=(2, 7)))
    bare = graph.with_tensors(
        {t: type(v)(v.name, v.shape, v.dtype, v.quant, None, True) for t, v in graph.tensors.items() if v.is_constant}
    )
    known, unknown = turned(graph), turned(bare)
    assert known.ops == unknown.ops
    assert known.tensors == unknown.tensors  # data are not compared
    assert [known.tensors[op.inputs[1]].shape for op in known.ops[1:3]] == [(4, 5, 3, 3), (1, 7, 2, 4)]


@pytest.mark.parametrize("shape", [(1, 12, 5, 3), (1, 9, 9, 3), (1, 1, 1, 3)])
def test_images_that_are_not_wider_than_high_stay(shape: tuple[int, ...]) -> None:
    m = GraphMaker(seed=0)
    assert by_columns(m.build(m.conv2d(m.input(*shape), 4))) is None


def test_input_that_is_pulled_comes_in_rows() -> None:
    m = GraphMaker(seed=0)
    pulled = pull_input(m.build(m.conv2d(m.input(*WIDE), 4)))
    assert isinstance(pulled.ops[0], PullRows)
    assert by_columns(pulled) is None
