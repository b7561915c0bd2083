"""Lower bounds on the arena that need no search."""

from __future__ import annotations

from itertools import accumulate

from services.compiler.memory.problem import Pair, Problem
from services.compiler.schedule.schedule import BufferId


def step_bound(problem: Problem) -> int:
    """Return the units that the fullest step needs."""
    return max(step_needs(problem))


def step_needs(problem: Problem) -> list[int]:
    """Return the units that every step needs: what lives there, less the most that shifts let it share.

    A target shares no more than its own size with all its sources together, and so does a source with its targets.
    """
    ranges, changes = problem.ranges, [0] * (max((r.last for r in problem.ranges.values()), default=0) + 2)
    for buffer, size in problem.sizes.items():
        lives = ranges[buffer]
        changes[lives.first] += size
        changes[lives.last + 1] -= size
    needs = list(accumulate(changes[:-1]))
    by_step: dict[int, list[Pair]] = {}
    for pair in problem.shifts:
        for step in range(ranges[pair[1]].first, ranges[pair[0]].last + 1):
            by_step.setdefault(step, []).append(pair)
    for step, pairs in by_step.items():
        needs[step] -= problem.shared(pairs[0]) if len(pairs) == 1 else _shared(problem, pairs)
    return needs


def _shared(problem: Problem, pairs: list[Pair]) -> int:
    """Return the units that buffers of one step share at most."""
    sizes, of_sources, of_targets = problem.sizes, dict[BufferId, int](), dict[BufferId, int]()
    for pair in pairs:
        (source, target), shared = pair, problem.shared(pair)
        of_sources[source] = min(sizes[source], of_sources.get(source, 0) + shared)
        of_targets[target] = min(sizes[target], of_targets.get(target, 0) + shared)
    return min(sum(of_sources.values()), sum(of_targets.values()))
