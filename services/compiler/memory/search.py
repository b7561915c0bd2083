"""Heuristic placement: greedy in several orders, then a seeded local search of the order while a gap is left.

Only buffers that are hard to place are searched for, those of every group that shares moments apart; a buffer that
finds a hole whatever the others do is placed afterwards.

Source: Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net Inference (2020).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from services.compiler.memory.holes import components, peeled
from services.compiler.memory.live_range import LiveRange
from services.compiler.memory.problem import Problem
from services.compiler.schedule.schedule import BufferId

_SEARCH_STEPS = 150
_IMPROVED = ", then local search"


@dataclass(frozen=True, slots=True)
class Placement:
    """Offsets in units, how far they reach, and how they were found."""

    algorithm: str
    order: tuple[BufferId, ...]
    offsets: Mapping[BufferId, int]
    extent: int


def search(problem: Problem, bound: int) -> Placement:
    """Return the best placement found; the search of a group stops at the first that meets the bound."""
    hard, easy = peeled(problem, bound)
    found = [_search(problem, group, bound) for group in components(problem, hard)]
    order = tuple(b for placement in found for b in placement.order) + easy[::-1]
    offsets = problem.place(easy[::-1], {b: o for placement in found for b, o in placement.offsets.items()})
    worst = max(found, key=lambda placement: placement.extent, default=None)
    return Placement("greedy" if worst is None else worst.algorithm, order, offsets, problem.extent(offsets))


def _search(problem: Problem, group: Sequence[BufferId], bound: int) -> Placement:
    """Return the best placement found of some buffers by themselves."""
    best = _best_greedy(problem, group, bound)
    return best if best.extent <= bound or len(group) < 3 else _improve(problem, bound, best)


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
    return None if offsets is None else Placement(algorithm, tuple(order), offsets, problem.extent(offsets))


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


def _improve(problem: Problem, bound: int, best: Placement) -> Placement:
    """Move buffers that stick out above the bound to other places in the order; the same seed for every model."""
    random = Random(0)
    name = f"{best.algorithm}{_IMPROVED}"
    order, offsets, extent = list(best.order), best.offsets, best.extent
    high = _sticking_out(problem, order, offsets, bound)
    for _ in range(_SEARCH_STEPS):
        moved = random.choice(high)
        old, new = order.index(moved), random.randrange(len(order))
        kept = min(old, new)  # what comes before stays where it is
        tail = order[kept:old] + order[old + 1 :]
        tail.insert(new - kept, moved)
        found = problem.place_below(tail, extent + 1, {b: offsets[b] for b in order[:kept]})
        if found is not None:
            order[kept:], offsets, extent = tail, found, problem.extent(found)
            if extent <= bound:
                break
            high = _sticking_out(problem, order, offsets, bound)
    return Placement(name, tuple(order), offsets, extent)


def _sticking_out(
    problem: Problem, order: Sequence[BufferId], offsets: Mapping[BufferId, int], bound: int
) -> list[BufferId]:
    return [b for b in order if offsets[b] + problem.sizes[b] > bound]
