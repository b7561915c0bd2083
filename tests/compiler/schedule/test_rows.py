"""Receptive fields of rows: by hand, and against which outputs really change when an input row does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from services.compiler.ir.ops import Padding
from services.compiler.ir.tensor import TensorId
from services.compiler.quant.reference import run_graph
from services.compiler.schedule.rows import Window, is_row_wise, window
from tests.compiler.graph_maker import GraphMaker


def test_rows_of_a_strided_window_are_clipped_to_the_image() -> None:
    slid = Window(stride=2, offset=-1, extent=3, size=8)
    assert [slid.needed(i, i + 1) for i in range(4)] == [(0, 2), (1, 4), (3, 6), (5, 8)]
    assert slid.needed(0, 4) == (0, 8)


def test_rows_of_padding_need_no_rows() -> None:
    slid = Window(stride=1, offset=-2, extent=1, size=3)
    assert [slid.needed(i, i + 1) for i in (0, 1, 2, 4, 5)] == [(0, 0), (0, 0), (0, 1), (2, 3), (3, 3)]


def test_broadcast_input_is_needed_whole() -> None:
    assert Window(1, 0, 1, 1, whole=True).needed(5, 6) == (0, 1)


Step = Callable[[GraphMaker, TensorId], TensorId]
ROW_WISE: dict[str, Step] = {
    "convolution": lambda m, x: m.conv2d(x, 3, (3, 2), (2, 1)),
    "dilated convolution": lambda m, x: m.conv2d(x, 3, (3, 3), (1, 1), (2, 1)),
    "unpadded convolution": lambda m, x: m.conv2d(x, 3, (5, 1), (3, 1), padding=Padding()),
    "depthwise": lambda m, x: m.depthwise(x, 1, (7, 3), (2, 2)),
    "pool": lambda m, x: m.pool("max", x, (3, 2), (2, 1)),
    "pad": lambda m, x: m.pad(x, (0, 2, 1, 0), (0, 1, 0, 0)),
    "slice": lambda m, x: m.slice(x, (0, 2, 0, 0), (1, 9, 4, 3), (1, 3, 1, 1)),
    "table": lambda m, x: m.unary("logistic", x),
    "rows joined": lambda m, x: m.concatenate((m.pool("max", x, (1, 1)), x), 1),
}


@pytest.mark.parametrize("name", ROW_WISE)
def test_only_rows_of_the_window_change_an_output_row(name: str) -> None:
    m = GraphMaker(seed=3)
    x = m.input(1, 11, 4, 3)
    graph = m.build(ROW_WISE[name](m, x))
    op = graph.ops[-1]
    assert is_row_wise(graph, op)
    slid = window(graph, op, x)
    data = np.full(graph.tensors[x].shape, -128, dtype=np.int8)
    before = run_graph(graph, [data])[0]
    for row in range(11):
        changed = data.copy()
        changed[:, row] = 127
        differs = (run_graph(graph, [changed])[0] != before).any(axis=(0, 2, 3))
        for out in np.flatnonzero(differs):
            low, high = slid.needed(int(out), int(out) + 1)
            assert low <= row < high or name == "rows joined", (row, out)


WHOLE: dict[str, Step] = {
    "mean": lambda m, x: m.mean(x, (1, 2)),
    "transpose": lambda m, x: m.transpose(x, (0, 2, 1, 3)),
    "dense": lambda m, x: m.dense(x, 2),
    "rows split": lambda m, x: m.split(x, 1, (4, 7))[0],
}


@pytest.mark.parametrize("name", WHOLE)
def test_operators_that_need_more_than_rows_are_not_row_wise(name: str) -> None:
    m = GraphMaker()
    graph = m.build(WHOLE[name](m, m.input(1, 11, 4, 3)))
    assert not is_row_wise(graph, graph.ops[-1])
