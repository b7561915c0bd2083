"""The choice of streamed stages: as good as trying every cut, never above per-layer.

TINYFARM_FUZZ_EXAMPLES multiplies the number of networks (`make fuzz`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.networks import mobilenet_v2, plan_graph
from services.compiler.cost.cost_model import work
from services.compiler.ir.graph import Graph
from services.compiler.ir.tensor import TensorId
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.options import CompileOptions, Core, Interface, Kernels, kernel_set
from services.compiler.passes.optimize import optimize
from services.compiler.passes.pull_input import pull_input
from services.compiler.planned import StreamPlanner, plan_network
from services.compiler.planner.choose import choose
from services.compiler.planner.cuts import fastest
from services.compiler.planner.kinds import RESERVED_BYTES, Choice
from services.compiler.planner.stages import Pieces
from services.compiler.schedule.rows import is_row_wise
from services.compiler.schedule.schedule import StageKind
from services.compiler.schedule.streaming import Stream, stream
from services.search.space.redistribute import redistribute
from tests.compiler.graph_maker import GraphMaker

NETWORKS = 30 * int(os.environ.get("TINYFARM_FUZZ_EXAMPLES", "1"))


def small_network(seed: int) -> Graph:
    """Seven operators: two inverted bottlenecks behind a convolution, or of every third network one around which its
    input is added.
    """
    random = np.random.default_rng(seed)
    m = GraphMaker(seed=seed, name=f"small {seed}")
    x = m.conv2d(m.input(1, 16, 16, 3), int(random.integers(2, 9)), (3, 3), (int(random.integers(1, 3)),) * 2)
    if seed % 3 == 2:
        x = m.binary("add", x, bottleneck(m, random, x, 1, m.shape(x)[3]))
        return m.build(m.depthwise(m.conv2d(x, int(random.integers(6, 25))), 1, (3, 3), (2, 2)))
    for _ in range(2):
        x = bottleneck(m, random, x, int(random.integers(1, 3)), int(random.integers(2, 9)))
    return m.build(x)


def bottleneck(m: GraphMaker, random: np.random.Generator, x: TensorId, stride: int, channels: int) -> TensorId:
    wide, kernel = m.conv2d(x, int(random.integers(6, 25)), (1, 1)), int(random.choice([3, 5]))
    return m.conv2d(m.depthwise(wide, 1, (kernel, kernel), (stride, stride)), channels, (1, 1))


def cuts(graph: Graph, start: int = 0) -> Iterator[tuple[Stream, ...]]:
    """Yield every way to stream runs of two operators and more, a row at a time."""
    if start >= len(graph.ops):
        yield ()
        return
    yield from cuts(graph, start + 1)
    for stop in range(start + 2, len(graph.ops) + 1):
        if all(is_row_wise(graph, op) for op in graph.ops[start:stop]):
            yield from ((stream(graph, start, stop), *rest) for rest in cuts(graph, stop))


def least_of_all(graph: Graph, kernels: KernelSet) -> int:
    """Return the bytes of arena of the best cut, all of them placed as closely as the exact solver can."""
    planner, best = StreamPlanner(graph, kernels), plan_network(graph, kernels).plan.arena_bytes
    for streams in cuts(graph):
        plan = planner.place(streams, exact=False)[2]
        if plan.lower_bound_bytes < min(best, plan.arena_bytes):
            plan = planner.place(streams, exact=True)[2]
        best = min(best, plan.arena_bytes)
    return best


@pytest.mark.parametrize("kernels", [Kernels.PORTABLE, Kernels.CORE])
def test_least_memory_is_that_of_the_best_of_all_cuts(kernels: Kernels) -> None:
    options = CompileOptions("host", Core.CORTEX_M4, "streaming", kernels=kernels)
    graphs = [small_network(seed) for seed in range(NETWORKS) if (seed % 2 == 0) == (kernels is Kernels.CORE)]
    found = {graph.name: choose(graph, options).planned.plan.arena_bytes for graph in graphs}
    assert found == {graph.name: least_of_all(graph, kernel_set(options)) for graph in graphs}


def test_least_memory_is_a_limit_that_some_cut_keeps_to() -> None:
    """Redistributed MobileNetV2 with its input pulled: at the need itself pieces were given up for their rings."""
    plan = redistribute(mobilenet_v2(0.5, 144), 5).plan
    graph = pull_input(optimize(plan_graph(plan), Interface.INT8))
    pieces = Pieces(plan_network(graph, KernelSet.THUMB2, exact=False), Core.CORTEX_M4)
    assert fastest(pieces, pieces.least_memory(0)) != ()


def test_more_room_is_never_slower() -> None:
    graph = small_network(3)
    arena = plan_network(graph).plan.arena_bytes
    costs = []
    for share in (0.5, 0.6, 0.75, 0.9):
        budget = int(share * arena) + 1024
        options = CompileOptions(
            "host", Core.CORTEX_M4, "streaming", kernels=Kernels.PORTABLE, sram_budget_bytes=budget
        )
        planned = choose(graph, options).planned
        if planned.plan.arena_bytes <= budget - 1024:
            costs.append(work(planned, Core.CORTEX_M4).instructions)
    assert len(costs) > 1
    assert costs == sorted(costs, reverse=True)


def within(graph: Graph, room_bytes: int, schedule: str = "auto") -> Choice:
    """Return what is chosen for an arena of so many bytes."""
    budget = room_bytes + RESERVED_BYTES
    return choose(graph, CompileOptions("host", Core.CORTEX_M4, schedule, sram_budget_bytes=budget), exact=False)


@pytest.mark.parametrize("seed", range(0, 12, 2))
def test_what_a_smaller_room_found_is_not_lost_in_a_larger_one(seed: int) -> None:
    """Where cuts that promise to keep to the room do not lie as closely, one of much less room was taken, or none; and
    scratch did not grow into what that left.
    """
    graph = small_network(seed)
    least, most = (within(graph, room).planned.plan.arena_bytes for room in (0, 1 << 20))
    best = float("inf")
    for room in range(least, most, max(4, (most - least) // 20)):
        planned = within(graph, room).planned
        assert planned.plan.arena_bytes <= room
        done = work(planned, Core.CORTEX_M4).instructions
        assert done <= 1.1 * best
        best = min(best, done)


def test_streaming_within_a_budget_is_no_slower_than_per_layer_that_fits() -> None:
    graph = small_network(0)
    whole = plan_network(graph, KernelSet.THUMB2, exact=False)
    found = within(graph, whole.plan.arena_bytes, "streaming").planned
    done = [work(planned, Core.CORTEX_M4).instructions for planned in (found, whole)]
    assert done[0] <= done[1]


@pytest.mark.parametrize("schedule", ["auto", "streaming", "patch"])
def test_network_without_operators_has_nothing_to_schedule(schedule: str) -> None:
    m = GraphMaker(seed=0)
    options = CompileOptions("host", Core.CORTEX_M4, schedule, sram_budget_bytes=1024)
    found = choose(m.build(m.input(1, 32, 32, 4)), options)
    assert found.reason == "per-layer: there is no operator to run"
    assert not list(found.planned.schedule.steps())


def test_budget_that_nothing_keeps_to_is_told() -> None:
    options = CompileOptions("host", Core.CORTEX_M4, "streaming", kernels=Kernels.PORTABLE, sram_budget_bytes=1100)
    assert (
        "least memory, 76 bytes of arena are too few (1024 of the limit are left for the stack)"
        in choose(small_network(0), options).reason
    )


def long_rows() -> Graph:
    """Rows so long that line buffers of whole rows need more than patches of a part of them. The image is an output,
    too, so that it stays as it is: by columns it would be held twice.
    """
    m = GraphMaker(seed=0, name="long rows")
    image = m.input(1, 16, 640, 1)
    x = m.depthwise(m.conv2d(image, 16, (3, 3), (2, 2)), 1, (3, 3))
    for _ in range(3):
        x = m.conv2d(x, 16, (3, 3), (2, 2))
    return m.build(x, image)


def test_wide_images_are_cut_across() -> None:
    found = {
        schedule: choose(long_rows(), CompileOptions("host", Core.CORTEX_M4, schedule))
        for schedule in ("patch", "patch:4x4", "patch:1x8")
    }
    least = found["patch"].planned
    assert "in 1x8 patches" in found["patch"].reason
    assert least.plan.arena_bytes == found["patch:1x8"].planned.plan.arena_bytes
    assert least.plan.arena_bytes < found["patch:4x4"].planned.plan.arena_bytes
    assert least.macs < found["patch:4x4"].planned.macs


def test_auto_takes_patches_where_streaming_needs_more_than_the_budget() -> None:
    graph = long_rows()

    def asked(schedule: str, arena_bytes: int) -> Choice:
        budget = arena_bytes + RESERVED_BYTES
        return choose(graph, CompileOptions("host", Core.CORTEX_M4, schedule, sram_budget_bytes=budget))

    streamed, patched = (asked(schedule, 0).planned.plan.arena_bytes for schedule in ("streaming", "patch"))
    assert patched < streamed
    found = asked("auto", patched)
    assert (found.planned.kind, found.planned.plan.arena_bytes) == (StageKind.PATCH, patched)
    assert f"fewest MACs in {patched} bytes of arena" in found.reason
    assert found.reason.endswith(f", streaming {streamed}")
    assert asked("auto", streamed).planned.kind is StageKind.STREAMING
    assert f"{patched - 4} bytes of arena are too few" in asked("auto", patched - 4).reason
