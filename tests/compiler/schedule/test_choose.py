"""The choice of streamed stages: as good as trying every cut, to a hundredth, never above per-layer.

TINYFARM_FUZZ_EXAMPLES multiplies the number of networks (`make fuzz`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

from services.compiler.choose import choose
from services.compiler.cost_model import work
from services.compiler.ir.graph import Graph
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.options import CompileOptions, Core, Kernels
from services.compiler.planned import StreamPlanner, plan_network
from services.compiler.schedule.streaming import Stream, can_stream, stream
from tests.compiler.graph_maker import GraphMaker

NETWORKS = 30 if int(os.environ.get("TINYFARM_FUZZ_EXAMPLES", "1")) > 1 else 3


def small_network(seed: int) -> Graph:
    random = np.random.default_rng(seed)
    m = GraphMaker(seed=seed, name=f"small {seed}")
    x = m.conv2d(m.input(1, 16, 16, 3), int(random.integers(2, 9)), (3, 3), (int(random.integers(1, 3)),) * 2)
    for _ in range(2):
        wide = m.conv2d(x, int(random.integers(6, 25)), (1, 1))
        kernel, stride = int(random.choice([3, 5])), int(random.integers(1, 3))
        x = m.conv2d(m.depthwise(wide, 1, (kernel, kernel), (stride, stride)), int(random.integers(2, 9)), (1, 1))
    return m.build(x)


def cuts(graph: Graph, start: int = 0) -> Iterator[tuple[Stream, ...]]:
    """Yield every way to stream runs of two operators and more, a row at a time."""
    if start >= len(graph.ops):
        yield ()
        return
    yield from cuts(graph, start + 1)
    for stop in range(start + 2, len(graph.ops) + 1):
        if can_stream(graph, start, stop):
            yield from ((stream(graph, start, stop), *rest) for rest in cuts(graph, stop))


@pytest.mark.parametrize("seed", range(NETWORKS))
def test_least_memory_is_that_of_the_best_of_all_cuts(seed: int) -> None:
    """To a hundredth: pieces are chosen by what lives in them, and holes between buffers show up afterwards only."""
    graph = small_network(seed)
    planner = StreamPlanner(graph, KernelSet.PORTABLE)
    best = min(planner.place(streams, exact=False)[2].arena_bytes for streams in cuts(graph))
    options = CompileOptions("host", Core.CORTEX_M4, "streaming", kernels=Kernels.PORTABLE)
    found = choose(graph, options).planned
    assert found.plan.arena_bytes <= 1.01 * best
    assert found.plan.arena_bytes <= plan_network(graph).plan.arena_bytes


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


@pytest.mark.parametrize("schedule", ["auto", "streaming", "patch"])
def test_network_without_operators_has_nothing_to_schedule(schedule: str) -> None:
    m = GraphMaker(seed=0)
    options = CompileOptions("host", Core.CORTEX_M4, schedule, sram_budget_bytes=1024)
    found = choose(m.build(m.input(1, 32, 32, 4)), options)
    assert found.reason == "per-layer: there is no operator to run"
    assert not list(found.planned.schedule.steps())
