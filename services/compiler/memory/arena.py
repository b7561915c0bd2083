"""Offsets in the arena for buffers of given size and live range, with a proven lower bound.

Greedy placement in several orders, then a seeded local search while a gap to the bound is left. Deterministic.
Sources: Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net Inference (2020); Vela's search.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from services.compiler.memory.live_range import LiveRange
from services.compiler.memory.overlap import OverlapRule
from services.compiler.schedule.schedule import BufferId

BUFFER_ALIGN = 4
_SEARCH_STEPS = 300
_IMPROVED = ", then local search"


@dataclass(frozen=True, slots=True)
class ArenaPlan:
    """Where every buffer lies; no arena can be smaller than `lower_bound_bytes`."""

    offsets: Mapping[BufferId, int]
    arena_bytes: int
    lower_bound_bytes: int
    algorithm: str

    @property
    def gap_bytes(self) -> int:
        """How much a better plan could save at most."""
        return self.arena_bytes - self.lower_bound_bytes


def plan_arena(ranges: Sequence[LiveRange], rules: Sequence[OverlapRule]) -> ArenaPlan:
    """Return the smallest plan found; offsets are multiples of `BUFFER_ALIGN`."""
    problem = _Problem.of(ranges, rules)
    bound = lower_bound_bytes(ranges, rules)
    best = _best_greedy(problem, bound)
    if best.arena_bytes > bound and len(ranges) > 2:
        best = _improve(problem, bound, best)
    return ArenaPlan(best.offsets, best.arena_bytes, bound, best.algorithm)


def lower_bound_bytes(ranges: Sequence[LiveRange], rules: Sequence[OverlapRule]) -> int:
    """Return the largest sum of sizes live at one step, less what the rules let overlap there."""
    by_buffer = {r.buffer: r for r in ranges}
    usable = [rule for rule in rules if _usable(rule, by_buffer)]
    live = [0] * (max((r.last for r in ranges), default=0) + 1)
    for r in ranges:
        for step in range(r.first, r.last + 1):
            live[step] += aligned(r.size_bytes)
    for rule in usable:
        source, target = by_buffer[rule.source], by_buffer[rule.target]
        shared = min(source.size_bytes, target.size_bytes - rule.distance_bytes)
        live[target.first] -= aligned(max(0, shared))
    return max(live)


def aligned(size_bytes: int) -> int:
    """Return the size rounded up to `BUFFER_ALIGN`."""
    return -(-size_bytes // BUFFER_ALIGN) * BUFFER_ALIGN


def _usable(rule: OverlapRule, by_buffer: Mapping[BufferId, LiveRange]) -> bool:
    """A target may only follow a source that dies at the step that bears the target."""
    return by_buffer[rule.source].last == by_buffer[rule.target].first


@dataclass(frozen=True, slots=True)
class _Problem:
    ranges: Mapping[BufferId, LiveRange]
    conflicts: Mapping[BufferId, tuple[BufferId, ...]]
    rules: Mapping[tuple[BufferId, BufferId], OverlapRule]  # by (source, target)

    @classmethod
    def of(cls, ranges: Sequence[LiveRange], rules: Sequence[OverlapRule]) -> _Problem:
        by_buffer = {r.buffer: r for r in ranges}
        conflicts = {r.buffer: tuple(o.buffer for o in ranges if o is not r and r.overlaps(o)) for r in ranges}
        return cls(by_buffer, conflicts, {(r.source, r.target): r for r in rules if _usable(r, by_buffer)})

    def place(self, order: Sequence[BufferId]) -> dict[BufferId, int]:
        """Give each buffer in turn the lowest offset that is free."""
        offsets: dict[BufferId, int] = {}
        for buffer in order:
            placed = [b for b in self.conflicts[buffer] if b in offsets]
            offsets[buffer] = next(
                o for o in self._candidates(buffer, placed, offsets) if self._fits(buffer, o, offsets)
            )
        return offsets

    def _candidates(self, buffer: BufferId, placed: Sequence[BufferId], offsets: Mapping[BufferId, int]) -> list[int]:
        found = {0}
        for other in placed:
            found.add(aligned(offsets[other] + self.ranges[other].size_bytes))
            if rule := self.rules.get((other, buffer)):
                found.add((offsets[other] - rule.distance_bytes) // BUFFER_ALIGN * BUFFER_ALIGN)
            if rule := self.rules.get((buffer, other)):
                found.add(aligned(offsets[other] + rule.distance_bytes))
        return sorted(o for o in found if o >= 0)

    def _fits(self, buffer: BufferId, offset: int, offsets: Mapping[BufferId, int]) -> bool:
        stop = offset + self.ranges[buffer].size_bytes
        for other in self.conflicts[buffer]:
            start = offsets.get(other)
            if start is None or stop <= start or start + self.ranges[other].size_bytes <= offset:
                continue
            behind, ahead = self.rules.get((other, buffer)), self.rules.get((buffer, other))
            if not ((behind and behind.allows(start, offset)) or (ahead and ahead.allows(offset, start))):
                return False
        return True

    def extent(self, offsets: Mapping[BufferId, int]) -> int:
        return max((aligned(o + self.ranges[b].size_bytes) for b, o in offsets.items()), default=0)


@dataclass(frozen=True, slots=True)
class _Trial:
    algorithm: str
    order: tuple[BufferId, ...]
    offsets: Mapping[BufferId, int]
    arena_bytes: int

    @classmethod
    def of(cls, problem: _Problem, algorithm: str, order: Sequence[BufferId]) -> _Trial:
        offsets = problem.place(order)
        return cls(algorithm, tuple(order), offsets, problem.extent(offsets))


_GREEDY_KEYS: Mapping[str, Callable[[LiveRange], tuple[int, ...]]] = {
    "greedy by size": lambda r: (-r.size_bytes, r.first, r.buffer),
    "greedy by birth": lambda r: (r.first, -r.size_bytes, r.buffer),
    "greedy by death": lambda r: (-r.last, -r.size_bytes, r.buffer),
    "greedy by area": lambda r: (-r.size_bytes * (r.last - r.first + 1), r.first, r.buffer),
    "greedy by lifetime": lambda r: (r.first - r.last, -r.size_bytes, r.buffer),
}


def _best_greedy(problem: _Problem, bound: int) -> _Trial:
    """Return the best of the greedy orders, or the first that meets the bound."""
    best: _Trial | None = None
    for name, key in _GREEDY_KEYS.items():
        trial = _Trial.of(problem, name, [r.buffer for r in sorted(problem.ranges.values(), key=key)])
        if best is None or trial.arena_bytes < best.arena_bytes:
            best = trial
        if best.arena_bytes == bound:
            break
    if best is None:
        raise AssertionError("there is always a greedy order")
    return best


def _improve(problem: _Problem, bound: int, best: _Trial) -> _Trial:
    """Move buffers that stick out above the bound to other places in the order; the same seed for every model."""
    random = Random(0)
    for _ in range(_SEARCH_STEPS):
        order = list(best.order)
        above = [b for b in order if best.offsets[b] + problem.ranges[b].size_bytes > bound]
        moved = random.choice(above)
        order.remove(moved)
        order.insert(random.randrange(len(order) + 1), moved)
        trial = _Trial.of(problem, f"{best.algorithm.removesuffix(_IMPROVED)}{_IMPROVED}", order)
        if trial.arena_bytes <= best.arena_bytes:
            best = trial
        if best.arena_bytes == bound:
            break
    return best
