"""Heuristic placement: greedy in several orders, then a seeded local search of the order while a gap is left.

Source: Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net Inference (2020).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from services.compiler.memory.live_range import LiveRange
from services.compiler.memory.problem import Problem
from services.compiler.schedule.schedule import BufferId

_SEARCH_STEPS = 300
_IMPROVED = ", then local search"


@dataclass(frozen=True, slots=True)
class Placement:
    """Offsets in units, how far they reach, and how they were found."""

    algorithm: str
    order: tuple[BufferId, ...]
    offsets: Mapping[BufferId, int]
    extent: int


def search(problem: Problem, bound: int) -> Placement:
    """Return the best placement found; stops at the first that meets the bound."""
    best = _best_greedy(problem, bound)
    return best if best.extent <= bound or len(problem.ranges) < 3 else _improve(problem, bound, best)


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


def _best_greedy(problem: Problem, bound: int) -> Placement:
    """Return the best of the greedy orders, or the first that meets the bound."""
    best: Placement | None = None
    for name, key in _GREEDY_KEYS.items():
        order = [r.buffer for r in sorted(problem.ranges.values(), key=key)]
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
    for _ in range(_SEARCH_STEPS):
        order = list(best.order)
        moved = random.choice([b for b in order if best.offsets[b] + problem.sizes[b] > bound])
        order.remove(moved)
        order.insert(random.randrange(len(order) + 1), moved)
        best = _placed(problem, name, order, best.extent + 1) or best
        if best.extent <= bound:
            break
    return best
