"""What stages need, put together from parts, against the simulation of the stage as one."""

from __future__ import annotations

import numpy as np
import pytest

from services.compiler.ir.graph import Graph
from services.compiler.ir.tensor import TensorId
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.memory.live_range import LiveRange
from services.compiler.memory.problem import aligned
from services.compiler.options import Core
from services.compiler.planned import plan_network
from services.compiler.planner.stage_needs import StageNeeds
from services.compiler.schedule.rows import is_row_wise
from services.compiler.schedule.staged import turn_scratch_bytes
from services.compiler.schedule.streaming import Stream, stream
from tests.compiler.graph_maker import GraphMaker

KERNELS = KernelSet.PORTABLE


def network(seed: int, size: int) -> Graph:
    """Bottlenecks, every third with a branch, with and without residuals, of random kernels and strides."""
    random = np.random.default_rng(seed)
    m = GraphMaker(seed=seed, name=f"needs {seed}")
    x = m.conv2d(m.input(1, size, size, 3), 4, (3, 3), (2, 2))
    for number in range(4):
        kernel, stride = (int(random.choice([1, 3, 5, 7])),) * 2, (int(random.integers(1, 3)),) * 2
        y = m.depthwise(m.conv2d(x, int(random.integers(4, 13)), (1, 1)), 1, kernel, stride)
        if number % 3 == 2:
            y = m.binary("add", y, m.depthwise(y, 1, (3, 3)))
        y = m.conv2d(y, 4, (1, 1))
        x = m.binary("add", x, y) if stride == (1, 1) and random.integers(0, 2) else y
    return m.build(x)


def need_of(graph: Graph, found: Stream, ranges: dict[TensorId, LiveRange]) -> int:
    """Return what lives beside the fullest operator of a stage that was simulated as one."""
    last = found.stop - 1
    rings = {t: aligned(n * graph.tensors[t].size_bytes // graph.tensors[t].shape[1]) for t, n in found.rings.items()}
    held = (r for t, r in ranges.items() if t not in rings and r.first <= last and r.last >= found.start)
    shared = [0]
    for (source, target), behind in found.behind.items():
        if ranges[source].last <= last:
            sizes = ranges[source].size_bytes, ranges[target].size_bytes
            shared.append(max(0, min(*sizes, sizes[1] - behind) // 4 * 4))
    beside = []
    for n in range(found.stop - found.start):
        op = graph.ops[found.start + n]
        width = graph.tensors[op.output].shape[2]
        rows = min(max(t.row_stop - t.row_start for t in found.turns), graph.tensors[op.output].shape[1])
        scratch = aligned(turn_scratch_bytes(graph, op, KERNELS, (rows, width)))
        beside.append(scratch + sum(size for t, size in rings.items() if found.lives[t][0] <= n <= found.lives[t][1]))
    return sum(aligned(r.size_bytes) for r in held) - max(shared) + max(beside)


@pytest.mark.parametrize("seed", range(6))
def test_needs_of_parts_are_those_of_the_stage_as_one(seed: int) -> None:
    """Where windows reach over all of an image, parts cannot tell that a ring is used up before the stage ends."""
    graph = network(seed, size=64)
    whole = plan_network(graph, KERNELS, exact=False)
    buffers = {r.buffer: r for r in whole.ranges}
    ranges = {t: buffers[b.id] for b in whole.schedule.buffers for t in b.tensors}
    needs = StageNeeds(graph, KERNELS, Core.CORTEX_M4, ranges, {n: n for n in range(len(graph.ops))})
    assert all(is_row_wise(graph, op) for op in graph.ops)
    compared = close = 0
    for start in range(len(graph.ops)):
        for stop in range(start + 2, len(graph.ops) + 1):
            for rows in (1, 2, 3):
                found, facts = stream(graph, start, stop, rows), needs.facts(start, stop, rows)
                want = need_of(graph, found, ranges)
                small = min(graph.tensors[op.output].shape[1] for op in graph.ops[start:stop]) <= 7 + rows
                assert facts.need_bytes == want or (small and facts.need_bytes > want), (start, stop, rows)
                assert needs.least_bytes[start, stop] <= facts.need_bytes
                compared += not small
                close += rows == 1 and not small and needs.least_bytes[start, stop] >= 0.9 * facts.need_bytes
    assert compared > 20
    assert close > compared / 6  # half of those of a row at a turn, which a third are
