from __future__ import annotations

from dataclasses import replace

import numpy as np

from services.compiler.ir.ops import Pad, Transpose
from services.compiler.ir.text import print_graph
from services.compiler.passes.merge_pads import merge_pads
from services.compiler.passes.merge_transposes import merge_transposes
from services.compiler.passes.optimize import optimize
from services.compiler.quant.reference import run_graph
from tests.compiler.graph_maker import random_inputs
from tests.compiler.passes.small_graphs import activation, graph, lines, rewritten

PADS = {0: activation(1, 2, 3), 1: activation(1, 3, 3), 2: activation(1, 5, 7), 3: activation(1, 5, 8)}
FIRST = Pad(name="first", inputs=(0,), outputs=(1,), before=(0, 1, 0), after=(0, 0, 0), value=4)
SECOND = Pad(name="second", inputs=(1,), outputs=(2,), before=(0, 1, 2), after=(0, 1, 2), value=4)
THIRD = Pad(name="third", inputs=(2,), outputs=(3,), before=(0, 0, 0), after=(0, 0, 1), value=4)


def test_pads_of_pads_become_one() -> None:
    before = graph(PADS, [FIRST, SECOND, THIRD], (3,))
    assert rewritten(merge_pads, before) == lines(
        "inputs %0 : int8[1,2,3] s=0.5 z=0",
        "%3 = Pad(%0) before=(0, 2, 2) after=(0, 1, 3) value=4 : int8[1,5,8] s=0.5 z=0",
        "outputs %3",
    )
    inputs = random_inputs(before, 0)
    np.testing.assert_array_equal(run_graph(merge_pads(before), inputs)[0], run_graph(before, inputs)[0])


def test_pads_of_other_values_stay() -> None:
    before = graph(PADS, [FIRST, replace(SECOND, value=5), THIRD], (3,))
    assert rewritten(merge_pads, before) == print_graph(before)


def test_inner_pad_that_is_an_output_stays_beside_the_merged_one() -> None:
    after = merge_pads(graph(PADS, [FIRST, SECOND], (2, 1)))
    assert [(op.name, op.inputs) for op in after.ops] == [("first", (0,)), ("second", (0,))]


TURNED = {0: activation(2, 3, 4), 1: activation(4, 2, 3), 2: activation(4, 3, 2), 3: activation(2, 3, 4)}
TURN = Transpose(name="turn", inputs=(0,), outputs=(1,), permutation=(2, 0, 1))
SWAP = Transpose(name="swap", inputs=(1,), outputs=(2,), permutation=(0, 2, 1))
BACK = Transpose(name="back", inputs=(2,), outputs=(3,), permutation=(2, 1, 0))


def test_transposes_of_transposes_become_one() -> None:
    before = graph(TURNED, [TURN, SWAP], (2,))
    assert rewritten(merge_transposes, before) == lines(
        "inputs %0 : int8[2,3,4] s=0.5 z=0",
        "%2 = Transpose(%0) permutation=(2, 1, 0) : int8[4,3,2] s=0.5 z=0",
        "outputs %2",
    )
    inputs = random_inputs(before, 0)
    np.testing.assert_array_equal(run_graph(merge_transposes(before), inputs)[0], run_graph(before, inputs)[0])


def test_transposes_that_undo_each_other_are_gone() -> None:
    scaled = {**TURNED, 4: activation(2, 3, 8)}
    pad = Pad(name="pad", inputs=(3,), outputs=(4,), before=(0, 0, 0), after=(0, 0, 4), value=0)
    assert [op.name for op in optimize(graph(scaled, [TURN, SWAP, BACK, pad], (4,))).ops] == ["pad"]
