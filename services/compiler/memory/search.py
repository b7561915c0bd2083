"""Heuristic placement: greedy in several orders, then with backtracking while a gap is left.

Only buffers that are hard to place are searched for, those of every group that shares moments apart; a buffer that
finds a hole whatever the others do is placed afterwards.

Source: Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net Inference (2020).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from services.compiler.memory.backtrack import InTime
from services.compiler.memory.holes import components, peeled
from services.compiler.memory.live_range import LiveRange
from services.compiler.memory.problem import Problem
from services.compiler.schedule.schedule import BufferId

_HALVINGS = 3


@dataclass(frozen=True, slots=True)
class Placement:
    """Offsets in units, how far they reach, and how they were found."""

    algorithm: str
    offsets: Mapping[BufferId, int]
    extent: int


def search(problem: Problem, bound: int) -> Placement:
    """Return the best placement found; the search of a group stops at the first that meets the bound."""
    hard, easy = peeled(problem, bound)
    found = [_search(problem, group, bound) for group in components(problem, hard)]
    offsets = problem.place(easy[::-1], {b: o for placement in found for b, o in placement.offsets.items()})
    worst = max(found, key=lambda placement: placement.extent, default=None)
    return Placement("greedy" if worst is None else worst.algorithm, offsets, problem.extent(offsets))


def _search(problem: Problem, group: Sequence[BufferId], bound: int) -> Placement:
    """Return the best placement found of some buffers by themselves."""
    best = _best_greedy(problem, group, bound)
    return best if best.extent <= bound or len(group) < 3 else _improve(problem, group, bound, best)


_GREEDY_KEYS: Mapping[str, Callable[[LiveRange], tuple[int, ...]]] = {
    "greedy by size": lambda r: (-r.size_bytes, r.first, r.buffer),
    "greedy by birth": lambda r: (r.first, -r.size_bytes, r.buffer),
    "greedy by death": lambda r: (-r.last, -r.size_bytes, r.buffer),
    "greedy by area": lambda r: (-r.size_bytes * (r.last - r.first + 1), r.first, r.buffer),
    "greedy by lifetime": lambda r: (r.first - r.last, -r.size_bytes, r.buffer),
}


def _placed(problem: Problem, algorithm: str, order: Sequence[BufferId], limit: int | None = None) -> Placement | None:
    """Return the placement in this order; None where it reaches up to the limit."""
    offsets = problem.place_below(order, limit)
    return None if offsets is None else Placement(algorithm, offsets, problem.extent(offsets))


def _best_greedy(problem: Problem, group: Sequence[BufferId], bound: int) -> Placement:
    """Return the best of the greedy orders, or the first that meets the bound."""
    best: Placement | None = None
    for name, key in _GREEDY_KEYS.items():
        order = [r.buffer for r in sorted((problem.ranges[b] for b in group), key=key)]
        best = _placed(problem, name, order, None if best is None else best.extent) or best
        if best is not None and best.extent <= bound:
            break
    if best is None:
        raise AssertionError("there is always a greedy order")
    return best


def _improve(problem: Problem, group: Sequence[BufferId], bound: int, best: Placement) -> Placement:
    """Return a placement that reaches the bound, or else comes closer to it by halves; the best if none is found."""
    ways = _Ways(problem, group)
    low, limit = bound, bound
    for _ in range(_HALVINGS):
        if limit >= best.extent:
            break
        if (found := ways.within(limit)) is None:
            low = limit
        else:
            best = found
            if best.extent <= bound:
                break
        limit = (low + best.extent) // 2
        if limit <= low:
            break
    return best


class _Ways:
    """The orders in which a group of buffers is placed with backtracking."""

    def __init__(self, problem: Problem, group: Sequence[BufferId]) -> None:
        self._problem, self._group = problem, group

    @cached_property
    def _forward(self) -> InTime:
        return InTime(self._problem, self._group)

    @cached_property
    def _backward(self) -> InTime:
        return InTime(self._problem, self._group, backward=True)

    def within(self, extent: int) -> Placement | None:
        """Return the first placement found that reaches no farther."""
        if (offsets := self._forward.within(extent)) is not None:
            return Placement("in time", offsets, self._problem.extent(offsets))
        if (offsets := self._backward.within(extent)) is not None:
            return Placement("backward in time", offsets, self._problem.extent(offsets))
        return None
