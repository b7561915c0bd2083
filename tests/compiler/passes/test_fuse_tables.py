"""What becomes a table, and what does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.tensor import DType
from services.compiler.ir.text import print_graph
from services.compiler.passes.fuse_tables import fuse_tables
from services.compiler.quant.reference import run_graph
from tests.compiler.graph_maker import GraphMaker


def scalar(m: GraphMaker) -> int:
    return m.constant(np.array([[[[37]]]], np.int8), m.quant())


def silu(m: GraphMaker) -> Graph:
    x = m.input(1, 4, 4, 16)
    return m.build(m.binary("mul", x, m.unary("logistic", x)))


def hard_sigmoid(m: GraphMaker) -> Graph:
    x = m.input(1, 4, 4, 16)
    return m.build(m.binary("mul", m.binary("add", x, scalar(m), Activation.RELU6), scalar(m)))


def square(m: GraphMaker) -> Graph:
    x = m.input(1, 4, 4, 16)
    return m.build(m.binary("mul", x, x))


def chain(m: GraphMaker) -> Graph:
    return m.build(m.quantize(m.unary("relu", m.unary("tanh", m.table(m.input(256))))))


def two_ways_from_one_tensor(m: GraphMaker) -> Graph:
    x = m.unary("tanh", m.input(1, 4, 4, 16))
    return m.build(m.binary("sub", m.unary("leaky_relu", x, alpha=0.2), m.unary("logistic", x)))


def clamped(m: GraphMaker) -> Graph:
    x = m.input(1, 4, 4, 16)
    low, high = (m.constant(np.array([v], np.int8), m.same_quant(x)) for v in (-50, 60))
    return m.build(m.binary("minimum", m.binary("maximum", x, low), high))


def one_slope(m: GraphMaker) -> Graph:
    return m.build(m.prelu(m.input(1, 4, 4, 16), (1,)))


FUSED = {f.__name__: f for f in (silu, hard_sigmoid, square, chain, two_ways_from_one_tensor, clamped, one_slope)}


@pytest.mark.parametrize("name", FUSED)
def test_function_of_one_tensor_becomes_a_table_with_the_same_bits(name: str) -> None:
    before = FUSED[name](GraphMaker(seed=3))
    after = fuse_tables(before)
    assert [op.kind for op in after.ops] == ["Table"]
    every_byte = np.resize(np.arange(-128, 128, dtype=np.int8), before.tensors[before.inputs[0]].shape)
    np.testing.assert_array_equal(run_graph(after, [every_byte])[0], run_graph(before, [every_byte])[0])


def test_what_is_read_elsewhere_stays() -> None:
    m = GraphMaker()
    gate = m.unary("logistic", m.input(1, 4))
    graph = m.build(m.unary("relu", gate), gate)
    assert fuse_tables(graph) == graph


def test_sum_of_two_tensors_stays_and_their_own_functions_fuse() -> None:
    m = GraphMaker()
    a, b = (m.unary("relu", m.unary("tanh", m.input(1, 4))) for _ in range(2))
    assert [op.kind for op in fuse_tables(m.build(m.binary("add", a, b))).ops] == ["Table", "Table", "Add"]


def test_a_constant_a_channel_stays() -> None:
    m = GraphMaker()
    x = m.input(1, 4, 4, 2)
    graph = m.build(m.binary("mul", x, m.constant(np.array([3, 4], np.int8), m.quant())))
    assert fuse_tables(graph) == graph


def test_float_and_uint8_edges_stay() -> None:
    m = GraphMaker()
    graph = m.build(m.quantize(m.unary("relu", m.quantize(m.input(1, 4, dtype=DType.FLOAT32))), DType.UINT8))
    assert fuse_tables(graph) == graph


def test_weight_free_network_fuses_alike() -> None:
    m = GraphMaker()
    x = m.input(1, 2, 2, 4)
    y = m.binary("mul", m.binary("add", x, scalar(m)), scalar(m))
    bare = {t: replace(tensor, data=None) for t, tensor in m.tensors.items()}
    graph = fuse_tables(m.build(y).with_tensors(bare))
    assert print_graph(graph).split("\n")[1].startswith("%4 = Table(%0, const int8[256])")
