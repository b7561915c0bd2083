"""Transposes at the edges are left to the host, which is told the axis order."""

from __future__ import annotations

import numpy as np

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Dequantize, Quantize, Tanh, Transpose
from services.compiler.ir.text import print_graph
from services.compiler.options import Interface
from services.compiler.passes.optimize import optimize
from services.compiler.passes.strip_edge_transpose import EdgeAxes, edge_axes, strip_edge_transpose
from services.compiler.quant.reference import run_graph
from tests.compiler.passes.small_graphs import activation, graph, lines, real, rewritten

TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


def _model(extra_reader: bool = False) -> Graph:
    """Float NCHW at the edges: Quantize, Transpose, Tanh, Transpose, Dequantize."""
    tensors = {
        0: real(1, 2, 3, 4),
        1: activation(1, 2, 3, 4, scale=0.1),
        2: activation(1, 3, 4, 2, scale=0.1),
        3: activation(1, 3, 4, 2, scale=1 / 128),
        4: activation(1, 2, 3, 4, scale=1 / 128),
        5: real(1, 2, 3, 4),
        6: activation(1, 2, 3, 4, scale=1 / 128),
    }
    ops = [
        Quantize(name="quantize", inputs=(0,), outputs=(1,)),
        Transpose(name="to NHWC", inputs=(1,), outputs=(2,), permutation=TO_NHWC),
        Tanh(name="tanh", inputs=(2,), outputs=(3,)),
        Transpose(name="to NCHW", inputs=(3,), outputs=(4,), permutation=TO_NCHW),
        Dequantize(name="dequantize", inputs=(4,), outputs=(5,)),
    ]
    if extra_reader:
        ops.insert(1, Tanh(name="other", inputs=(1,), outputs=(6,)))
    return graph(tensors, ops, (5, 6) if extra_reader else (5,))


def test_edge_transposes_are_dropped_behind_edge_quantizes() -> None:
    stripped = optimize(_model())
    assert rewritten(strip_edge_transpose, stripped) == lines(
        "inputs %2 : int8[1,3,4,2] s=0.1 z=0",
        "%3 = Tanh(%2) : int8[1,3,4,2] s=0.0078125 z=0",
        "outputs %3",
    )


def test_axes_make_the_stripped_graph_compute_the_same_bits() -> None:
    integer = optimize(_model())
    stripped = strip_edge_transpose(integer)
    axes = edge_axes(integer, stripped)
    assert axes == EdgeAxes((TO_NHWC,), (TO_NCHW,))
    x = np.random.default_rng(0).integers(-128, 128, (1, 2, 3, 4)).astype(np.int8)
    (expected,) = run_graph(integer, [x])
    (stored,) = run_graph(stripped, [x.transpose(axes.inputs[0])])
    assert np.array_equal(stored.transpose(axes.outputs[0]), expected)


def test_transpose_behind_a_float_edge_stays() -> None:
    model = optimize(_model(), Interface.FLOAT)
    assert rewritten(strip_edge_transpose, model) == print_graph(model)
    assert edge_axes(model, strip_edge_transpose(model)) == EdgeAxes((None,), (None,))


def test_input_that_something_else_reads_in_its_own_order_stays() -> None:
    model = optimize(_model(extra_reader=True))
    stripped = strip_edge_transpose(model)
    assert stripped.inputs == model.inputs
    assert edge_axes(model, stripped).inputs == (None,)
