"""Quantize and Dequantize at the edges: moved outwards, then left to the host."""

from __future__ import annotations

import pytest

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Dequantize, Quantize, Reshape, Tanh
from services.compiler.ir.tensor import DType
from services.compiler.ir.text import print_graph
from services.compiler.options import Interface
from services.compiler.passes.hoist_quantize import hoist_quantize
from services.compiler.passes.optimize import optimize
from services.compiler.passes.strip_edge_quantize import strip_edge_quantize
from tests.compiler.passes.small_graphs import activation, graph, lines, real, rewritten

QUANTIZE = Quantize(name="quantize", inputs=(0,), outputs=(1,))
TANH = Tanh(name="tanh", inputs=(1,), outputs=(2,))
DEQUANTIZE = Dequantize(name="dequantize", inputs=(2,), outputs=(3,))
TENSORS = {0: real(1, 4), 1: activation(1, 4, scale=0.1), 2: activation(1, 4, scale=1 / 128), 3: real(1, 4)}
FLOAT_EDGES = graph(TENSORS, [QUANTIZE, TANH, DEQUANTIZE], (3,))


def test_float_edges_become_integer_ones() -> None:
    assert rewritten(strip_edge_quantize, FLOAT_EDGES) == lines(
        "inputs %1 : int8[1,4] s=0.1 z=0",
        "%2 = Tanh(%1) : int8[1,4] s=0.0078125 z=0",
        "outputs %2",
    )


def test_two_equal_quantizes_of_one_input_become_one_edge() -> None:
    tensors = {**TENSORS, 4: activation(1, 4, scale=0.1), 5: activation(1, 4, scale=1 / 128)}
    other = Quantize(name="other", inputs=(0,), outputs=(4,))
    ops = [QUANTIZE, other, TANH, Tanh(name="again", inputs=(4,), outputs=(5,)), DEQUANTIZE]
    assert rewritten(strip_edge_quantize, graph(tensors, ops, (3, 5))) == lines(
        "inputs %1 : int8[1,4] s=0.1 z=0",
        "%2 = Tanh(%1) : int8[1,4] s=0.0078125 z=0",
        "%5 = Tanh(%1) : int8[1,4] s=0.0078125 z=0",
        "outputs %2, %5",
    )


def different_quantizes() -> Graph:
    tensors = {**TENSORS, 4: activation(1, 4, scale=0.2), 5: activation(1, 4, scale=1 / 128)}
    other = Quantize(name="other", inputs=(0,), outputs=(4,))
    again = Tanh(name="again", inputs=(4,), outputs=(5,))
    return graph(tensors, [QUANTIZE, other, TANH, again], (2, 5))


KEPT = {
    "input quantized in two ways": different_quantizes(),
    "uint8 input": graph(
        {**TENSORS, 0: activation(1, 4, scale=0.1, zero_point=128, dtype=DType.UINT8)}, [QUANTIZE, TANH], (2,)
    ),
    "dequantized value is read again": graph(
        {**TENSORS, 0: activation(1, 4), 4: activation(1, 4, scale=0.3)},
        [
            Tanh(name="tanh", inputs=(0,), outputs=(2,)),
            DEQUANTIZE,
            Quantize(name="back", inputs=(3,), outputs=(4,)),
        ],
        (3, 4),
    ),
}


@pytest.mark.parametrize("reason", KEPT)
def test_edge_stays(reason: str) -> None:
    assert rewritten(strip_edge_quantize, KEPT[reason]) == print_graph(KEPT[reason])


def test_network_of_edges_only_keeps_one() -> None:
    dequantize = Dequantize(name="dequantize", inputs=(1,), outputs=(3,))
    assert rewritten(strip_edge_quantize, graph(TENSORS, [QUANTIZE, dequantize], (3,))) == lines(
        "inputs %1 : int8[1,4] s=0.1 z=0",
        "%3 = Dequantize(%1) : float32[1,4]",
        "outputs %3",
    )


def reshaped_edges() -> Graph:
    tensors = {**TENSORS, 0: real(2, 2), 3: real(4, 1), 4: real(1, 4), 5: real(1, 4)}
    ops = [
        Reshape(name="flatten", inputs=(0,), outputs=(4,)),
        Quantize(name="quantize", inputs=(4,), outputs=(1,)),
        TANH,
        Dequantize(name="dequantize", inputs=(2,), outputs=(5,)),
        Reshape(name="column", inputs=(5,), outputs=(3,)),
    ]
    return graph(tensors, ops, (3,))


def test_reshape_of_floats_becomes_a_reshape_of_integers() -> None:
    assert rewritten(hoist_quantize, reshaped_edges()) == lines(
        "inputs %0 : float32[2,2]",
        "%6 = Quantize(%0) : int8[2,2] s=0.1 z=0",
        "%1 = Reshape(%6) : int8[1,4] s=0.1 z=0",
        "%2 = Tanh(%1) : int8[1,4] s=0.0078125 z=0",
        "%7 = Reshape(%2) : int8[4,1] s=0.0078125 z=0",
        "%3 = Dequantize(%7) : float32[4,1]",
        "outputs %3",
    )


def test_optimize_leaves_no_float_in_the_int8_interface() -> None:
    assert print_graph(optimize(reshaped_edges(), Interface.INT8)) == lines(
        "inputs %6 : int8[2,2] s=0.1 z=0",
        "%1 = Reshape(%6) : int8[1,4] s=0.1 z=0",
        "%2 = Tanh(%1) : int8[1,4] s=0.0078125 z=0",
        "%7 = Reshape(%2) : int8[4,1] s=0.0078125 z=0",
        "outputs %7",
    )


def test_optimize_keeps_the_edges_of_the_float_interface() -> None:
    assert print_graph(optimize(FLOAT_EDGES, Interface.FLOAT)) == print_graph(FLOAT_EDGES)
