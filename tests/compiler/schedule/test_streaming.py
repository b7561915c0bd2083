"""Streamed stages: turns, rings and what they save, by hand and through compiled code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Padding
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.options import CompileOptions, Core, Interface, Kernels
from services.compiler.pipeline import Compiled, compile_choice, compile_graph
from services.compiler.planned import Planned, StreamPlanner, plan_network
from services.compiler.planner.choose import choose
from services.compiler.planner.kinds import Choice
from services.compiler.quant.reference import run_graph
from services.compiler.schedule.schedule import BufferKind, StageKind
from services.compiler.schedule.streaming import stream
from tests.compiler.graph_maker import GraphMaker, random_inputs
from tests.compiler.host_twin import build_twins
from tests.cores.packed import PackedBoard

OPTIONS = CompileOptions("nucleo-l4r5zi", Core.CORTEX_M4, kernels=Kernels.PORTABLE)


def bottlenecks(seed: int = 0, size: int = 12, name: str = "bottlenecks") -> Graph:
    """Stem, inverted bottlenecks with kernels 3, 5 and 7, one with a residual, one strided."""
    m = GraphMaker(seed=seed, name=name)
    x = m.conv2d(m.input(1, size, size, 3), 6, (3, 3), (2, 2))
    for kernel, stride in ((3, 1), (5, 2), (7, 1), (3, 1)):
        y = m.conv2d(x, 12, (1, 1))
        y = m.depthwise(y, 1, (kernel, kernel), (stride, stride))
        y = m.conv2d(y, 6, (1, 1))
        x = m.binary("add", x, y) if stride == 1 else y
    return m.build(x)


def streamed(graph: Graph, kernels: KernelSet, *spans: tuple[int, int, int]) -> Planned:
    """Plan with streamed stages (start, stop, rows)."""
    return StreamPlanner(graph, kernels).plan([stream(graph, *span) for span in spans])


def compiled(planned: Planned, options: CompileOptions = OPTIONS) -> Compiled:
    return compile_choice(Choice(planned, "as the test asks"), planned.graph, planned.graph, options)


def test_turns_follow_demand() -> None:
    m = GraphMaker()
    x = m.conv2d(m.input(1, 4, 4, 1), 2, (1, 1))
    graph = m.build(m.conv2d(x, 2, (3, 3)))
    found = stream(graph, 0, 2)
    turns = [(t.op, t.row_start) for t in found.turns]
    assert turns == [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (0, 3), (1, 2), (1, 3)]
    assert dict(found.rings) == {x: 3}


def test_nothing_is_computed_twice() -> None:
    graph = bottlenecks()
    for rows in (1, 2, 5):
        found = stream(graph, 0, len(graph.ops), rows)
        for op in range(len(graph.ops)):
            made = [r for t in found.turns if t.op == op for r in range(t.row_start, t.row_stop)]
            assert made == list(range(len(made)))


@pytest.mark.parametrize(("kernel", "stride", "rows", "ring"), [(3, 1, 1, 3), (5, 1, 1, 5), (3, 1, 2, 4), (3, 2, 1, 3)])
def test_ring_holds_the_window(kernel: int, stride: int, rows: int, ring: int) -> None:
    m = GraphMaker()
    x = m.conv2d(m.input(1, 16, 4, 1), 2, (1, 1))
    graph = m.build(m.depthwise(x, 1, (kernel, kernel), (stride, stride)))
    assert stream(graph, 0, 2, rows).rings == {x: ring}


def test_rows_that_pass_at_once_live_beside_their_maker_and_reader_only() -> None:
    m = GraphMaker()
    wide = m.conv2d(m.input(1, 8, 8, 2), 8, (1, 1))
    sums = m.depthwise(wide, 1, (3, 3))
    graph = m.build(m.conv2d(m.conv2d(sums, 2, (1, 1)), 2, (3, 3)))
    found = stream(graph, 0, 4)
    assert found.lives[wide] == (0, 3)
    assert found.lives[sums] == (1, 2)


def test_output_grows_over_the_input_that_it_uses_up() -> None:
    m = GraphMaker()
    x = m.input(1, 32, 8, 4)
    y = m.conv2d(m.conv2d(x, 4, (3, 3)), 4, (3, 3))
    graph = m.build(y)
    assert stream(graph, 0, 2).behind == {(x, y): 0}  # row r is written when row r is in the ring between
    planned = streamed(graph, KernelSet.PORTABLE, (0, 2, 1))
    assert planned.plan.arena_bytes < graph.tensors[x].size_bytes + graph.tensors[y].size_bytes


def test_streamed_stage_saves_the_expanded_tensors() -> None:
    graph = bottlenecks(size=32)
    whole = plan_network(graph)
    planned = streamed(graph, KernelSet.PORTABLE, (0, 5, 1))
    assert planned.kind is StageKind.STREAMING
    assert planned.plan.arena_bytes < whole.plan.arena_bytes
    rings = [b for b in planned.schedule.buffers if b.kind is BufferKind.LINE_BUFFER]
    assert rings and all(b.rows is not None for b in rings)
    assert planned.memory.split.arena == planned.plan.arena_bytes


SPANS = {
    "all, a row at a time": ((0, 17, 1),),
    "all, three rows at a time": ((0, 17, 3),),
    "two stages": ((0, 5, 1), (5, 13, 2)),
    "after operators that are not streamed": ((3, 9, 2), (10, 13, 1)),
    "within a residual": ((2, 4, 1),),
}


def test_streamed_code_equals_reference(tmp_path: Path) -> None:
    graphs = [bottlenecks(seed=n, name=f"streamed {n}") for n in range(len(SPANS))]
    plans = [streamed(g, KernelSet.PORTABLE, *spans) for g, spans in zip(graphs, SPANS.values(), strict=True)]
    twins = build_twins([compiled(planned) for planned in plans], tmp_path)
    for name, graph, twin in zip(SPANS, graphs, twins, strict=True):
        inputs = random_inputs(graph, 1)
        for got, want in zip(twin.run(*inputs), run_graph(graph, inputs), strict=True):
            np.testing.assert_array_equal(got, want, err_msg=name)


@pytest.mark.parametrize(
    ("target", "core", "kernels"),
    [("nucleo-l4r5zi", Core.CORTEX_M4, KernelSet.THUMB2), ("rp2040", Core.CORTEX_M0PLUS, KernelSet.THUMB1)],
)
def test_core_kernels_stream(target: str, core: Core, kernels: KernelSet) -> None:
    options = CompileOptions(target, core, interface=Interface.FLOAT)
    graphs = [bottlenecks(seed=n, name=f"on the core {n}") for n in range(len(SPANS))]
    plans = [streamed(g, kernels, *spans) for g, spans in zip(graphs, SPANS.values(), strict=True)]
    with PackedBoard([compiled(planned, options) for planned in plans]) as board:
        for number, (name, graph) in enumerate(zip(SPANS, graphs, strict=True)):
            inputs = random_inputs(graph, 1)
            for got, want in zip(board.run(number, inputs), run_graph(graph, inputs), strict=True):
                np.testing.assert_array_equal(got, want, err_msg=name)


def test_streamed_windows_without_scratch_and_with_a_multiplier(tmp_path: Path) -> None:
    """Windows that cross a ring's end in the kernels that read the ring itself: convolution, pools, both depthwise."""
    m = GraphMaker(seed=5, name="crossing")
    x = m.conv2d(m.input(1, 13, 9, 2), 3, (3, 3))
    x = m.conv2d(x, 4, (5, 3), (1, 1), (2, 1))
    x = m.depthwise(x, 2, (3, 3), (1, 1), (2, 2))
    x = m.pool("average", x, (3, 3), (2, 2))
    x = m.pool("max", m.conv2d(x, 5, (2, 2), padding=Padding()), (2, 3))
    graph = m.build(x)
    (twin,) = build_twins([compiled(streamed(graph, KernelSet.PORTABLE, (0, len(graph.ops), 1)))], tmp_path)
    inputs = random_inputs(graph, 2)
    for got, want in zip(twin.run(*inputs), run_graph(graph, inputs), strict=True):
        np.testing.assert_array_equal(got, want)


def asked(graph: Graph, schedule: str, budget: int | None = None, sram: int | None = None) -> Compiled:
    options = CompileOptions("host", Core.CORTEX_M4, schedule, sram_bytes=sram, sram_budget_bytes=budget)
    return compile_graph(graph, graph, options)


def test_tensor_of_which_only_padding_is_seen_streams(tmp_path: Path) -> None:
    """A stride that leaves an output whose window lies above the image: no row of the input is needed."""
    m = GraphMaker(seed=3, name="above")
    x = m.conv2d(m.input(1, 1, 9, 2), 2, (1, 1))
    graph = m.build(m.depthwise(x, 1, (1, 1), (3, 3), padding=Padding(2, 0, 0, 0)))
    (twin,) = build_twins([compiled(streamed(graph, KernelSet.PORTABLE, (0, 2, 1)))], tmp_path)
    inputs = random_inputs(graph, 5)
    assert all(map(np.array_equal, twin.run(*inputs), run_graph(graph, inputs)))


@pytest.mark.parametrize(
    ("target", "core", "kernels"),
    [("nucleo-u575zi", Core.CORTEX_M33, KernelSet.THUMB2), ("rp2040", Core.CORTEX_M0PLUS, KernelSet.THUMB1)],
)
def test_operator_of_which_no_row_is_needed_streams(target: str, core: Core, kernels: KernelSet) -> None:
    """Found by the random graphs: a convolution whose kernel needs scratch, though it never takes a turn."""
    m = GraphMaker(seed=4, name="never asked")
    x = m.conv2d(m.input(1, 1, 9, 8), 4, (3, 3))
    graph = m.build(m.depthwise(x, 1, (1, 1), (3, 3), padding=Padding(2, 0, 0, 0)))
    planned = streamed(graph, kernels, (0, 2, 1))
    with PackedBoard([compiled(planned, CompileOptions(target, core, interface=Interface.FLOAT))]) as board:
        inputs = random_inputs(graph, 5)
        assert all(map(np.array_equal, board.run(0, inputs), run_graph(graph, inputs)))


def test_streaming_means_least_memory_without_a_budget() -> None:
    graph = bottlenecks(size=32)
    least, whole = asked(graph, "streaming").manifest, asked(graph, "per-layer").manifest
    assert (least.schedule, whole.schedule) == ("streaming", "per-layer")
    assert least.memory.arena < whole.memory.arena
    assert least.macs == whole.macs


def test_auto_streams_only_where_the_chip_or_the_budget_is_too_small() -> None:
    graph = bottlenecks(size=32)
    arena = asked(graph, "per-layer").manifest.memory.arena
    assert asked(graph, "auto").manifest.schedule == "per-layer"
    assert asked(graph, "auto", sram=arena + 1024).manifest.schedule == "per-layer"
    least = asked(graph, "streaming").manifest.memory.arena
    for limits in ({"sram": least + 1024}, {"budget": least + 1024, "sram": 1 << 20}):
        tight = asked(graph, "auto", **limits).manifest
        assert tight.schedule == "streaming"
        assert tight.memory.arena <= least


def test_auto_gives_up_scratch_before_it_streams() -> None:
    graph = bottlenecks(size=32)
    arena = asked(graph, "per-layer").manifest.memory.arena
    assert asked(graph, "auto", sram=arena + 1023).manifest.memory.arena < arena


def test_what_streaming_does_not_help_runs_per_layer() -> None:
    m = GraphMaker(name="dense")
    manifest = asked(m.build(m.dense(m.input(1, 64), 8)), "streaming").manifest
    assert manifest.schedule == "per-layer"
    assert manifest.schedule_reason == "per-layer: streaming saves no memory"


def test_turn_that_sees_only_padding_has_a_cost() -> None:
    """Found by the random graphs: the first turn of the second convolution reads no row of the first one's."""
    m = GraphMaker(name="padded")
    x = m.conv2d(m.input(1, 3, 4, 2), 3, (1, 1))
    graph = m.build(m.conv2d(x, 2, (2, 2), padding=Padding(top=3)))
    options = CompileOptions("nucleo-l4r5zi", Core.CORTEX_M4, "streaming", Interface.FLOAT)
    assert choose(graph, options).planned.plan.arena_bytes > 0
