"""Which buffers are hard to place: all others find a hole whatever the hard ones do, and are placed after them."""

from __future__ import annotations

from collections.abc import Sequence

from services.compiler.memory.problem import Problem
from services.compiler.schedule.schedule import BufferId


def peeled(problem: Problem, extent: int) -> tuple[tuple[BufferId, ...], tuple[BufferId, ...]]:
    """Return the hard buffers, and the easy ones in an order of which each finds a hole below the extent beside the
    hard ones and those that follow it.

    The n others that live with a buffer leave at most n + 1 holes, the largest of them at least their mean.
    """
    sizes, conflicts = problem.sizes, problem.conflicts
    count = {b: len(others) for b, others in conflicts.items()}
    beside = {b: sum(map(sizes.__getitem__, others)) for b, others in conflicts.items()}
    waiting = [b for b in conflicts if extent - beside[b] > (sizes[b] - 1) * (count[b] + 1)]
    known = set(waiting)
    easy: list[BufferId] = []
    while waiting:
        buffer = waiting.pop()
        easy.append(buffer)
        size = sizes[buffer]
        for other in conflicts[buffer]:
            if other not in known:
                count[other] -= 1
                beside[other] -= size
                if extent - beside[other] > (sizes[other] - 1) * (count[other] + 1):
                    known.add(other)
                    waiting.append(other)
    return tuple(b for b in conflicts if b not in known), tuple(easy)


def components(problem: Problem, buffers: Sequence[BufferId]) -> list[list[BufferId]]:
    """Return the buffers in groups of which no two share a moment."""
    groups: list[list[BufferId]] = []
    stop = -1
    for buffer in sorted(buffers, key=lambda b: (problem.ranges[b].first, b)):
        if not groups or problem.ranges[buffer].first > stop:
            groups.append([])
        groups[-1].append(buffer)
        stop = max(stop, problem.ranges[buffer].last)
    return groups
