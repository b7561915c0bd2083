"""What a value sees of the image: by hand, and against the search's own arithmetic on its plans."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from benchmarks.networks import mcunet_like, mobilenet_v2, plan_graph
from services.compiler.ir.ops import Padding
from services.compiler.ir.tensor import DType
from services.compiler.options import CompileOptions, Core, Kernels
from services.compiler.pipeline import compile_graph
from services.compiler.schedule.patches import patches
from services.compiler.schedule.receptive_field import receptive_fields, seen_image
from services.compiler.schedule.rows import window
from services.search.space.receptive_field import sight
from tests.compiler.graph_maker import GraphMaker
from tinyfarm.pictures.facts import facts_of
from tinyfarm.pictures.sight import reads

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


GRIDS = st.tuples(st.integers(1, 4), st.integers(1, 4))
PADDED = st.tuples(st.sampled_from([1, 2, 3, 5]), st.sampled_from([1, 2]), st.booleans())


@settings(max_examples=40)
@given(layers=st.lists(PADDED, min_size=1, max_size=5), size=st.tuples(st.integers(16, 30), st.integers(16, 30)),
       grid=GRIDS, tail=st.booleans())  # fmt: skip
def test_reads_of_patches_are_those_that_are_planned(layers, size, grid, tail):
    """They were taken for centered windows: of even sizes and strides they are not (irnet 4x4: 189 % for 181 %)."""
    m = GraphMaker()
    x = m.input(1, *size, 2)
    for kernel, stride, same in layers:
        assume(same or min(m.tensors[x].shape[1:3]) >= kernel)
        x = m.conv2d(x, 2, (kernel, kernel), (stride, stride), padding=None if same else Padding(0, 0, 0, 0))
    if tail:
        x = m.binary("add", x, m.conv2d(x, 2, (3, 3)))
    graph = m.build(x)
    planned = patches(graph, len(graph.ops), grid)
    assume(planned is not None and m.shape(x)[1:3] != (1, 1))
    manifest = compile_graph(
        graph, graph, CompileOptions("nucleo-l4r5zi", Core.CORTEX_M4, kernels=Kernels.PORTABLE)
    ).manifest
    layer = facts_of(json.loads(manifest.to_json())).layers[-1]
    first = graph.ops[0]
    wanted = [
        tuple(
            window(graph, first, first.input, axis).needed(*span)
            for axis, span in ((1, (r.row_start, r.row_stop)), (2, (r.col_start, r.col_stop)))
        )
        for r, *_ in planned.regions
    ]
    assert [(rows, columns) for rows in reads(layer, 0, grid[0]) for columns in reads(layer, 1, grid[1])] == wanted


@pytest.mark.parametrize("floats", [False, True])
def test_image_of_one_channel_is_what_a_reshape_makes_of_the_input(floats):
    """A PyTorch model's input of one channel, [1, 1, H, W], hid every layer's receptive field."""
    m = GraphMaker()
    x = m.input(1, 1, 12, 20, dtype=DType.FLOAT32) if floats else m.input(1, 1, 12, 20)
    x = m.reshape(m.quantize(x) if floats else x, 1, 12, 20, 1)
    graph = m.build(m.conv2d(x, 4, (3, 5)))
    assert seen_image(graph) == x
    assert receptive_fields(graph)[graph.outputs[0]].pixels_hw == (3, 5)
