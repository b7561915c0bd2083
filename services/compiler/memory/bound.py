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
    by_step: list[list[tuple[Pair, int]]] = [[] for _ in needs]
    for pair in problem.shifts:
        shared = pair, problem.shared(pair)
        for at_step in by_step[ranges[pair[1]].first : ranges[pair[0]].last + 1]:
            at_step.append(shared)
    return [need - _shared(problem, shared) if shared else need for need, shared in zip(needs, by_step, strict=True)]


def _shared(problem: Problem, shared: list[tuple[Pair, int]]) -> int:
    """Return the units that buffers of one step share at most, from what each pair does."""
    if len(shared) == 1:
        return shared[0][1]
    sizes, of_sources, of_targets = problem.sizes, dict[BufferId, int](), dict[BufferId, int]()
    for (source, target), units in shared:
        of_sources[source] = min(sizes[source], of_sources.get(source, 0) + units)
        of_targets[target] = min(sizes[target], of_targets.get(target, 0) + units)
    return min(sum(of_sources.values()), sum(of_targets.values()))
