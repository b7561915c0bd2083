"""Placement in the order of time, within a given extent, as low or as high as a buffer goes, with backtracking.

Few buffers live at a time, and what follows depends on where these lie alone: places of theirs that led nowhere are
not tried again. Outputs that grow over their inputs lie one below the other until one has to start high again, which
greedy orders find by chance only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from services.compiler.memory.problem import Problem
from services.compiler.schedule.schedule import BufferId

# buffers placed until a search is given up
_MOST_PLACED = 300


def place_within(
    problem: Problem, group: Sequence[BufferId], extent: int, *, backward: bool = False
) -> Mapping[BufferId, int] | None:
    """Return offsets of some buffers by themselves that reach no farther; None if none are found.

    From the first step on, or backward from the last one.
    """
    order = _in_time(problem, group, backward=backward)
    offsets: dict[BufferId, int] = {}
    held = _held(problem, order, backward=backward)
    open_places = [_places(problem, order[0], offsets, extent)]
    states: list[tuple[int, ...]] = [()]
    failed: set[tuple[int, tuple[int, ...]]] = set()
    for _ in range(_MOST_PLACED):
        while (offset := next(open_places[-1], None)) is None:
            open_places.pop()
            failed.add((len(open_places), states.pop()))
            if not open_places:
                return None
            del offsets[order[len(open_places) - 1]]
        offsets[order[len(open_places) - 1]] = offset
        number = len(open_places)
        if number == len(order):
            return offsets
        state = tuple(offsets[b] for b in held[number])
        if (number, state) in failed:
            del offsets[order[number - 1]]
        else:
            states.append(state)
            open_places.append(_places(problem, order[number], offsets, extent))
    return None


def _in_time(problem: Problem, group: Sequence[BufferId], *, backward: bool) -> list[BufferId]:
    ranges, sizes = problem.ranges, problem.sizes
    if backward:
        return sorted(group, key=lambda b: (-ranges[b].last, -sizes[b], b))
    return sorted(group, key=lambda b: (ranges[b].first, -sizes[b], b))


def _held(problem: Problem, order: Sequence[BufferId], *, backward: bool) -> list[list[BufferId]]:
    """Return for every place in the order the buffers before it that live with it or with what follows."""
    ranges = problem.ranges
    found: list[list[BufferId]] = []
    live: list[BufferId] = []
    for buffer in order:
        own = ranges[buffer]
        live = [b for b in live if (ranges[b].first <= own.last if backward else ranges[b].last >= own.first)]
        found.append(live)
        live = [*live, buffer]
    return found


def _places(problem: Problem, buffer: BufferId, offsets: Mapping[BufferId, int], extent: int) -> Iterator[int]:
    """Yield the lowest place that is free beside what is placed, and the highest."""
    low = problem.lowest(buffer, offsets)
    if low + problem.sizes[buffer] > extent:
        return
    yield low
    high = problem.highest(buffer, offsets, extent)
    if high is not None and high != low:
        yield high
