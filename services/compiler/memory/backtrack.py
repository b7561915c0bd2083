"""Placement in the order of time, within a given extent, as low or as high as a buffer goes, with backtracking.

Few buffers live at a time, and what follows depends on where these lie alone: places of theirs that led nowhere are
not tried again. Outputs that grow over their inputs lie one below the other until one has to start high again, which
greedy orders find by chance only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter

from services.compiler.memory.places import Neighbor, highest, lowest
from services.compiler.memory.problem import Problem
from services.compiler.schedule.schedule import BufferId

# buffers placed until a search is given up
_MOST_PLACED = 300


class InTime:
    """Some buffers by themselves from the first step on, or backward from the last one; by their places in that order.

    `_beside` are the neighbors of each that come before it: where they lie decides what follows.
    """

    def __init__(self, problem: Problem, group: Sequence[BufferId], *, backward: bool = False) -> None:
        self._order = _in_time(problem, group, backward=backward)
        self._sizes = [problem.sizes[b] for b in self._order]
        place: dict[BufferId, int] = {}
        self._beside: list[tuple[Neighbor, ...]] = []
        for number, buffer in enumerate(self._order):
            beside = problem.beside(buffer, place)
            self._beside.append(tuple([(place[o], size, behind, ahead) for o, size, behind, ahead in beside]))
            place[buffer] = number
        self._state = [_places_of([other for other, *_ in beside]) for beside in self._beside]

    def within(self, extent: int) -> Mapping[BufferId, int] | None:
        """Return offsets that reach no farther; None if none are found."""
        count = len(self._order)
        offsets, choices, states = [0] * count, [self._places(0, [], extent)], [self._state[0]([])]
        failed: set[tuple[int, object]] = set()
        for _ in range(_MOST_PLACED):
            while (place := next(choices[-1], None)) is None:
                choices.pop()
                failed.add((len(choices), states.pop()))
                if not choices:
                    return None
            at = len(choices)
            offsets[at - 1] = place
            if at == count:
                return dict(zip(self._order, offsets, strict=True))
            state = self._state[at](offsets)
            if (at, state) not in failed:
                states.append(state)
                choices.append(self._places(at, offsets, extent))
        return None

    def _places(self, number: int, offsets: Sequence[int], extent: int) -> Iterator[int]:
        """Yield the lowest place that is free beside what is placed, and then the highest; none if it is too high."""
        size, beside = self._sizes[number], self._beside[number]
        low = lowest(size, beside, offsets)
        if low + size <= extent:
            yield low
            high = highest(size, beside, offsets, extent)
            if high > low:
                yield high


def _places_of(numbers: Sequence[int]) -> Callable[[Sequence[int]], object]:
    """Return what takes the offsets of these buffers from those of all."""
    return itemgetter(*numbers) if numbers else lambda _: None


def _in_time(problem: Problem, group: Sequence[BufferId], *, backward: bool) -> list[BufferId]:
    ranges, sizes = problem.ranges, problem.sizes
    if backward:
        return sorted(group, key=lambda b: (-ranges[b].last, -sizes[b], b))
    return sorted(group, key=lambda b: (ranges[b].first, -sizes[b], b))
