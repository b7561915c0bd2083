"""What a value sees of the image: by hand, and against the search's own arithmetic on its plans."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.networks import mcunet_like, mobilenet_v2, plan_graph
from services.compiler.schedule.receptive_field import receptive_fields
from services.search.space.receptive_field import sight
from tests.compiler.graph_maker import GraphMaker

CASES: dict[str, tuple[Callable[[GraphMaker, int], int], tuple[int, int], tuple[float, float]]] = {
    "a convolution sees its window": (lambda m, x: m.conv2d(x, 4, (3, 5), (2, 1)), (3, 5), (2, 1)),
    "dilation spreads it": (lambda m, x: m.conv2d(x, 4, (3, 3), dilation=(2, 4)), (5, 9), (1, 1)),
    "windows of strided windows": (
        lambda m, x: m.depthwise(m.conv2d(x, 4, stride=(2, 2)), kernel=(5, 3)), (11, 7), (2, 2),
    ),
    "a pool": (lambda m, x: m.pool("max", m.conv2d(x, 4), (2, 2), (2, 2)), (4, 4), (2, 2)),
    "branches see the larger": (
        lambda m, x: m.binary("add", m.conv2d(x, 4, (7, 1)), m.conv2d(x, 4, (1, 5))), (7, 5), (1, 1),
    ),
    "upsampling halves the step": (lambda m, x: m.resize(m.conv2d(x, 4, stride=(2, 2)), 16, 16), (3, 3), (1, 1)),
    "a patch of RNNPool": (lambda m, x: m.rnn_pool(x, 2, 2, (6, 4), (4, 2)), (6, 4), (4, 2)),
    "a table changes nothing": (lambda m, x: m.unary("logistic", m.conv2d(x, 4)), (3, 3), (1, 1)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_receptive_field_by_hand(name):
    make, field, step = CASES[name]
    m = GraphMaker()
    graph = m.build(make(m, m.input(1, 16, 16, 3)))
    found = receptive_fields(graph)[graph.outputs[0]]
    assert (found.pixels_hw, found.step_hw) == (field, step)


def test_transposed_image_is_seen_along_its_own_rows():
    m = GraphMaker()
    x = m.transpose_image(m.conv2d(m.input(1, 16, 30, 3), 4, (3, 5), (2, 1)))
    graph = m.build(m.conv2d(x, 4, (1, 3)))
    found = receptive_fields(graph)[graph.outputs[0]]
    assert found.transposed
    assert (found.pixels_hw, found.step_hw) == ((5, 7), (1, 2))
    assert (found.swapped().pixels_hw, found.swapped().step_hw) == ((7, 5), (2, 1))


@pytest.mark.parametrize("plan", [mobilenet_v2(0.35, 96), mcunet_like(80)], ids=["mobilenet", "mcunet"])
def test_receptive_field_is_that_of_the_searchs_plan(plan):
    graph = plan_graph(plan)
    last = next(op.input for op in graph.ops if op.kind == "Mean")
    found, wanted = receptive_fields(graph)[last], sight(plan.blocks)
    assert found.pixels_hw == (wanted.receptive_field,) * 2
    assert found.step_hw == (wanted.jump,) * 2


def test_what_is_no_image_sees_nothing_that_can_be_told():
    m = GraphMaker()
    x = m.conv2d(m.input(1, 8, 8, 3), 4)
    mean = m.mean(x, (1, 2))
    graph = m.build(m.binary("mul", x, mean))
    assert receptive_fields(graph).keys() == {graph.inputs[0], x}
