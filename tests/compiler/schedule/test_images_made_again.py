"""Squeeze-and-excite in stages: graphs in which images are made again, the plans that they allow, and their C code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.compiler.estimate import estimate
from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Padding
from services.compiler.ir.planned_ops import ImageSums, PullRows
from services.compiler.ir.tensor import DType
from services.compiler.ir.verify import verify
from services.compiler.macs import graph_macs
from services.compiler.options import CompileOptions, Core, Interface, Kernels
from services.compiler.passes.optimize import optimize
from services.compiler.passes.recompute import checkpoints, image_means, made_again
from services.compiler.pipeline import compile_choice, compile_graph
from services.compiler.planner.choose import choose
from services.compiler.planner.kinds import RESERVED_BYTES
from services.compiler.quant.reference import run_graph
from services.compiler.schedule.schedule import StageKind
from tests.compiler.graph_maker import GraphMaker, random_inputs
from tests.compiler.host_twin import build_twins
from tests.compiler.schedule.drawn_schedules import made_again_somewhere
from tests.compiler.schedule.image_networks import image_network
from tests.cores.packed import PackedBoard

HOST = CompileOptions("host", Core.CORTEX_M4, "streaming", Interface.INT8, Kernels.PORTABLE)
BOARD = CompileOptions("nucleo-l4r5zi", Core.CORTEX_M4, "streaming", Interface.INT8)


def excited(size: int = 24, channels: int = 1, name: str = "excited", *, pools: bool = False) -> Graph:
    """Bottlenecks with squeeze-and-excite before they are projected, one with a residual, and a classifier; means may
    be `pools` over the image.
    """
    m = GraphMaker(seed=2, name=name)
    x = m.conv2d(m.input(1, size, size, channels), 8, (3, 3))
    for kernel, stride in ((3, 1), (5, 1), (3, 2)):
        y = m.depthwise(m.conv2d(x, 24, (1, 1)), 1, (kernel, kernel), (stride, stride))
        squeezed = m.global_pool(y, Activation.RELU) if pools else m.mean(y, (1, 2))
        gates = m.conv2d(m.conv2d(squeezed, 6, (1, 1)), 24, (1, 1))
        y = m.conv2d(m.binary("mul", y, m.unary("logistic", gates)), 8, (1, 1))
        x = m.binary("add", x, y) if stride == 1 else y
    return m.build(m.dense(m.global_pool(x) if pools else m.mean(x, (1, 2), keep=False), 4))


def separable(*, pools: bool, name: str = "separable") -> Graph:
    """A classifier as for keywords: depthwise-separable layers that keep their image, and its mean."""
    m = GraphMaker(seed=3, name=name)
    x = m.conv2d(m.input(1, 50, 10, 1), 16, (10, 4), (2, 2))
    for _ in range(2):
        x = m.conv2d(m.depthwise(x, 1, (3, 3)), 16, (1, 1))
    return m.build(m.dense(m.global_pool(x) if pools else m.mean(x, (1, 2), keep=False), 4))


def sums_in(graph: Graph) -> int:
    return sum(isinstance(op, ImageSums) for op in graph.ops)


def without_weights(graph: Graph) -> Graph:
    return replace(graph, tensors={t: replace(v, data=None) for t, v in graph.tensors.items()})


@pytest.mark.parametrize("first", range(0, 240, 60))
def test_graphs_with_images_made_again_compute_the_same(first: int) -> None:
    for number in range(first, first + 60):
        graph = optimize(image_network(number), Interface.FLOAT)
        again = made_again_somewhere(graph, np.random.default_rng(number))
        inputs = random_inputs(graph, number)
        for got, want in zip(run_graph(again, inputs), run_graph(graph, inputs), strict=True):
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("pools", [False, True])
def test_checkpoints_are_block_inputs_and_at_last_the_image(pools: bool) -> None:
    graph = excited(pools=pools)
    first, second, third, tail = image_means(graph)
    (image,) = graph.inputs
    for mean, ops in ((first, [2, 3]), (second, [2, 8]), (third, [13])):
        found = checkpoints(graph, mean)
        assert [len(c.ops) for c in found] == ops
        assert found[-1].tensor == image
        sizes = [graph.tensors[t].size_bytes for t in (found[0].image, *(c.tensor for c in found))]
        assert sizes == sorted(sizes, reverse=True)
    assert [c.ops for c in checkpoints(graph, tail)] == [()]


@pytest.mark.parametrize("pools", [False, True])
def test_image_that_only_its_mean_reads_is_made_once(pools: bool) -> None:
    graph = excited(pools=pools)
    tail = image_means(graph)[-1]
    (only,) = checkpoints(graph, tail)
    again = verify(made_again(graph, tail, only))
    assert graph_macs(again) == graph_macs(graph)
    assert len(again.ops) == len(graph.ops) + 1


AVERAGES = {
    "pool of the image": (lambda m, x: m.global_pool(x), True),
    "pool that also sees padding": (lambda m, x: m.pool("average", x, (7, 9), padding=Padding(1, 1, 2, 2)), True),
    "pool of rows": (lambda m, x: m.pool("average", x, (5, 1), padding=Padding()), False),
    "pool of the first pixels": (lambda m, x: m.pool("average", x, (4, 5), (2, 2), Padding()), False),
    "largest of the image": (lambda m, x: m.pool("max", x, (5, 5), padding=Padding()), False),
    "mean of the image": (lambda m, x: m.mean(x, (1, 2)), True),
    "mean of rows": (lambda m, x: m.mean(x, (1,)), False),
}  # fmt: skip


@pytest.mark.parametrize("average", AVERAGES)
def test_means_are_those_that_see_every_pixel(average: str) -> None:
    make, is_mean = AVERAGES[average]
    m = GraphMaker()
    y = make(m, m.input(1, 5, 5, 6))
    graph = m.build(y)
    assert image_means(graph) == ((y,) if is_mean else ())
    for mean in image_means(graph):
        (only,) = checkpoints(graph, mean)
        (inputs,) = random_inputs(graph, 0)
        np.testing.assert_array_equal(run_graph(made_again(graph, mean, only), (inputs,)), run_graph(graph, (inputs,)))


@pytest.mark.parametrize("average", [name for name, (_, is_mean) in AVERAGES.items() if is_mean])
@pytest.mark.parametrize("schedule", ["streaming", "patch"])
def test_input_that_is_averaged_is_held(average: str, schedule: str) -> None:
    """The planner looked for what makes it."""
    m = GraphMaker()
    graph = m.build(AVERAGES[average][0](m, m.input(1, 5, 5, 6)))
    assert sums_in(choose(graph, replace(BOARD, schedule=schedule)).planned.graph) == 0


def test_pools_of_int16_are_not_summed_in_parts() -> None:
    m = GraphMaker(activations=DType.INT16)
    assert image_means(m.build(m.global_pool(m.input(1, 5, 5, 6)))) == ()


@pytest.mark.parametrize("schedule", ["streaming", "patch"])
@pytest.mark.parametrize("pools", [False, True])
def test_image_before_a_classifier_is_summed_up_as_it_comes(pools: bool, schedule: str, tmp_path: Path) -> None:
    """A pool's window was the image, which was held whole: 8,000 of 8,808 bytes that kws_ref_model needed."""
    graph, options = separable(pools=pools), replace(HOST, schedule=schedule)
    planned = choose(graph, options).planned
    assert sums_in(planned.graph) == 1
    assert planned.plan.arena_bytes < 25 * 5 * 16
    assert schedule == "patch" or planned.macs == graph_macs(graph)
    (twin,) = build_twins([compile_graph(graph, graph, options)], tmp_path)
    inputs = random_inputs(graph, 3)
    for got, want in zip(twin.run(*inputs), run_graph(graph, inputs), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("pools", [False, True])
def test_sums_are_kept_only_where_the_image_is_in_the_way(pools: bool) -> None:
    m = GraphMaker(seed=3)
    x = m.conv2d(m.conv2d(m.input(1, 32, 32, 3), 8, (3, 3), (2, 2)), 8, (3, 3), (4, 4))
    graph = m.build(m.global_pool(x) if pools else m.mean(x, (1, 2)))
    for schedule in ("per-layer", "streaming"):
        assert sums_in(choose(graph, replace(BOARD, schedule=schedule)).planned.graph) == 0


@pytest.mark.parametrize(
    ("schedule", "pools"), [("streaming", False), ("streaming", True), ("patch", True), ("patch:3x2", False)]
)
def test_stages_go_through_squeeze_and_excite(schedule: str, pools: bool, tmp_path: Path) -> None:
    graph = excited(pools=pools)
    plain = max(graph.tensors[graph.producers()[mean].input].size_bytes for mean in image_means(graph))
    for options in (replace(HOST, schedule=schedule), replace(BOARD, schedule=schedule)):
        choice = choose(graph, options)
        assert sums_in(choice.planned.graph) > 1
        assert choice.planned.plan.arena_bytes < plain, "the image that is squeezed is not held"
        inputs = random_inputs(graph, 1)
        compiled = compile_choice(choice, graph, graph, options)
        if options.target == "host":
            (twin,) = build_twins([compiled], tmp_path)
            outputs = twin.run(*inputs)
        else:
            with PackedBoard([compiled]) as board:
                outputs = board.run(0, inputs)
        for got, want in zip(outputs, run_graph(graph, inputs), strict=True):
            np.testing.assert_array_equal(got, want)


def test_patches_come_in_stages_with_boxes_of_their_own(tmp_path: Path) -> None:
    """The second stage took its patches from the boxes of the first one's operators."""
    graph = excited(name="stages")
    options = replace(HOST, schedule="patch:2x2")
    choice = choose(graph, options)
    stages = [s for s in choice.planned.schedule.stages if s.kind is StageKind.PATCH]
    assert len(stages) > 1
    (twin,) = build_twins([compile_choice(choice, graph, graph, options)], tmp_path)
    inputs = random_inputs(graph, 3)
    for got, want in zip(twin.run(*inputs), run_graph(graph, inputs), strict=True):
        np.testing.assert_array_equal(got, want)


def test_rows_are_pulled_again_by_patches_only(tmp_path: Path) -> None:
    graph = excited(channels=3, name="pulled")
    inputs = random_inputs(graph, 5)
    for schedule, is_patched in (("patch:2x2", True), ("streaming", False)):
        options = replace(HOST, schedule=schedule, pull_input=True)
        compiled = compile_graph(graph, graph, options)
        pulls = sum(layer.op == PullRows.__name__ for layer in compiled.manifest.layers)
        assert (pulls > 1) == is_patched
        folder = tmp_path / schedule.replace(":", " ")
        folder.mkdir()
        (twin,) = build_twins([compiled], folder)
        for got, want in zip(twin.run(*inputs), run_graph(graph, inputs), strict=True):
            np.testing.assert_array_equal(got, want)


def test_nothing_is_made_again_where_the_room_is_enough() -> None:
    graph = excited()
    least = choose(graph, BOARD).planned
    macs = []
    for share in (0.55, 0.75, 1.1):
        room = int(share * choose(graph, replace(BOARD, schedule="per-layer")).planned.plan.arena_bytes)
        planned = choose(graph, replace(BOARD, sram_budget_bytes=room + RESERVED_BYTES)).planned
        assert planned.plan.arena_bytes <= max(room, least.plan.arena_bytes)
        macs.append(planned.macs)
    assert macs == sorted(macs, reverse=True)
    assert macs[-1] == graph_macs(graph) < macs[0]


@pytest.mark.parametrize("schedule", ["streaming", "patch"])
def test_budget_that_cannot_be_kept_gets_least_memory(schedule: str) -> None:
    """All images beyond the budget were made again at once, which needed more memory than some of them."""
    graph, least = excited(channels=3), replace(BOARD, schedule=schedule)
    arena = [
        choose(graph, replace(least, sram_budget_bytes=budget), exact=False).planned.plan.arena_bytes
        for budget in (None, 3_000)
    ]
    assert arena[0] == arena[1]


def test_image_is_made_again_where_scratch_makes_the_peak() -> None:
    """Only what tensors need was looked at: where the scratch of a small layer came on top, the search stopped."""
    m = GraphMaker(seed=4, name="scratch")
    x = m.conv2d(m.input(1, 64, 64, 3), 8, (3, 3), (2, 2))
    for expansion, kernel, stride, out in ((1, 3, 1, 8), (4, 3, 2, 16), (4, 5, 1, 16), (4, 3, 2, 24)):
        wide = m.shape(x)[3] * expansion
        y = m.conv2d(x, wide, (1, 1)) if expansion > 1 else x
        y = m.depthwise(y, 1, (kernel, kernel), (stride, stride))
        gates = m.conv2d(m.conv2d(m.mean(y, (1, 2)), 4, (1, 1)), wide, (1, 1))
        x = m.conv2d(m.binary("mul", y, m.unary("logistic", gates)), out, (1, 1))
    planned = choose(m.build(m.dense(m.mean(x, (1, 2), keep=False), 4)), BOARD, exact=False).planned
    assert sums_in(planned.graph) > 0
    assert planned.plan.arena_bytes < 2 * 32 * 32 * 8


@pytest.mark.parametrize("pools", [False, True])
@pytest.mark.parametrize("schedule", ["streaming", "patch", "auto"])
def test_estimates_are_those_of_the_compiled_network(schedule: str, pools: bool) -> None:
    """Weights of what is made again are counted once, as they lie in flash."""
    graph = excited(channels=3, pools=pools)
    options = replace(BOARD, schedule=schedule, sram_budget_bytes=12_000 if schedule == "auto" else None)
    found = estimate(without_weights(graph), options)
    manifest = compile_graph(graph, graph, options).manifest
    plan = found.planned.plan
    # without a gap equal to the byte; the solver wins no more than the gap
    assert plan.arena_bytes - plan.gap_bytes <= manifest.memory.arena <= plan.arena_bytes
    assert found.weights_bytes == manifest.weights_bytes
