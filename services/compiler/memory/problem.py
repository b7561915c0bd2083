"""The placement problem in whole units of alignment: sizes, who lives with whom, which overlaps are allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import lcm
from operator import itemgetter

from services.compiler.memory.live_range import LiveRange
from services.compiler.memory.overlap import OverlapRule
from services.compiler.schedule.schedule import BufferId

BUFFER_ALIGN = 4
_REMEMBERED = 1024
_START = itemgetter(0)


@dataclass(frozen=True, slots=True)
class Shift:
    """In units: a target may share its source's units if it starts `least` or more below, by a multiple of `step`."""

    least: int
    step: int

    def allows(self, source: int, target: int) -> bool:
        """Whether the two may share units when placed there."""
        return source - target >= self.least and (source - target) % self.step == 0


Pair = tuple[BufferId, BufferId]


@dataclass(frozen=True, slots=True)
class Problem:
    """Sizes and live ranges in units of `BUFFER_ALIGN` bytes; `shifts` are by (source, target)."""

    ranges: Mapping[BufferId, LiveRange]
    sizes: Mapping[BufferId, int]
    conflicts: Mapping[BufferId, tuple[BufferId, ...]]
    shifts: Mapping[Pair, Shift]
    # by buffer: those that live with it, with what placement asks of them again and again; filled as it is asked
    _neighbors: dict[BufferId, tuple[_Neighbor, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def of(cls, ranges: Sequence[LiveRange], rules: Sequence[OverlapRule]) -> Problem:
        """Return the problem; rules whose source lives on when it should have died do not hold."""
        by_buffer = {r.buffer: r for r in ranges}
        conflicts = _conflicts(tuple((r.buffer, r.first, r.last) for r in ranges))
        usable = (r for r in rules if by_buffer[r.source].last == by_buffer[r.target].first + r.lasting)
        sizes = {r.buffer: units(r.size_bytes) for r in ranges}
        return cls(by_buffer, sizes, conflicts, {(r.source, r.target): _shift(r) for r in usable})

    def part(self, buffers: Sequence[BufferId]) -> Problem:
        """Return the problem of some buffers only."""
        kept = set(buffers)
        return Problem(
            {b: self.ranges[b] for b in buffers},
            {b: self.sizes[b] for b in buffers},
            {b: tuple(o for o in self.conflicts[b] if o in kept) for b in buffers},
            {pair: shift for pair, shift in self.shifts.items() if kept.issuperset(pair)},
        )

    def pairs(self) -> Iterator[Pair]:
        """Yield every two buffers that live together once; a pair with a shift as (source, target)."""
        for a, others in self.conflicts.items():
            for b in others:
                if (a, b) in self.shifts or (a < b and (b, a) not in self.shifts):
                    yield a, b

    def shared(self, pair: Pair) -> int:
        """Return the most units that a source and its target can have in common."""
        source, target = self.sizes[pair[0]], self.sizes[pair[1]]
        return max(0, min(source, target, target - self.shifts[pair].least))

    def place(self, order: Sequence[BufferId], fixed: Mapping[BufferId, int] | None = None) -> dict[BufferId, int]:
        """Give each buffer in turn the lowest offset that is free."""
        placed = self.place_below(order, None, fixed)
        if placed is None:
            raise AssertionError("without a limit there is always room")
        return placed

    def place_below(
        self, order: Sequence[BufferId], limit: int | None, fixed: Mapping[BufferId, int] | None = None
    ) -> dict[BufferId, int] | None:
        """Return the same, or None as soon as a buffer reaches up to the limit."""
        offsets = dict(fixed or {})
        for buffer in order:
            size = self.sizes[buffer]
            offset = _lowest(size, self._beside(buffer, offsets))
            if limit is not None and offset + size >= limit:
                return None
            offsets[buffer] = offset
        return offsets

    def lowest(self, buffer: BufferId, offsets: Mapping[BufferId, int]) -> int:
        """Return the lowest offset that is free beside those placed."""
        return _lowest(self.sizes[buffer], self._beside(buffer, offsets))

    def highest(self, buffer: BufferId, offsets: Mapping[BufferId, int], extent: int) -> int | None:
        """Return the highest offset that is free beside those placed below the extent; None if none is."""
        return _highest(self.sizes[buffer], self._beside(buffer, offsets), extent)

    def fits(self, buffer: BufferId, offset: int, offsets: Mapping[BufferId, int]) -> bool:
        """Whether the buffer may lie there beside those placed."""
        return _fits(offset, offset + self.sizes[buffer], self._beside(buffer, offsets))

    def _beside(self, buffer: BufferId, offsets: Mapping[BufferId, int]) -> list[_Placed]:
        """Return those placed already that live with a buffer."""
        neighbors, at = self._neighbors.get(buffer), offsets.get
        if neighbors is None:
            sizes, shift = self.sizes, self.shifts.get
            neighbors = tuple((o, sizes[o], shift((o, buffer)), shift((buffer, o))) for o in self.conflicts[buffer])
            self._neighbors[buffer] = neighbors
        return [
            (start, start + size, behind, ahead)
            for other, size, behind, ahead in neighbors
            if (start := at(other)) is not None
        ]

    def extent(self, offsets: Mapping[BufferId, int]) -> int:
        """Return the units up to the highest end."""
        return max((o + self.sizes[b] for b, o in offsets.items()), default=0)


# another buffer and its size, how a buffer may lie over it as its target, and as its source
_Neighbor = tuple[BufferId, int, Shift | None, Shift | None]
# where another buffer starts and stops, how a buffer may lie over it as its target, and as its source
_Placed = tuple[int, int, Shift | None, Shift | None]


def _lowest(size: int, placed: list[_Placed]) -> int:
    """Return the lowest offset at which so many units may lie beside those placed."""
    for _, _, behind, ahead in placed:
        if behind or ahead:
            return next(o for o in _candidates(placed) if _fits(o, o + size, placed))
    low = 0
    for start, end, _, _ in sorted(placed, key=_START):
        if start - low >= size:
            break
        low = max(low, end)
    return low


def _highest(size: int, placed: Sequence[_Placed], extent: int) -> int | None:
    """Return the highest offset at which so many units may lie beside those placed, below the extent."""
    top = extent - size
    found = {top, *(start - size for start, _, _, _ in placed)}
    for start, _, behind, ahead in placed:
        if behind:
            found.add(start - behind.least)
        if ahead:  # above its target by a multiple of a step
            found.add(top - (top - start) % ahead.step)
    return next((o for o in sorted(found, reverse=True) if 0 <= o <= top and _fits(o, o + size, placed)), None)


def _fits(offset: int, stop: int, placed: Sequence[_Placed]) -> bool:
    """Whether a buffer may lie there beside those placed."""
    for start, end, behind, ahead in placed:
        if stop <= start or end <= offset:
            continue
        if not ((behind and behind.allows(start, offset)) or (ahead and ahead.allows(offset, start))):
            return False
    return True


def _candidates(placed: Sequence[_Placed]) -> list[int]:
    """Return the offsets that a lowest placement can have: at an end of another, or as low as a shift asks."""
    found = {0, *(end for _, end, _, _ in placed)}
    bases = tuple(found)
    for start, _, behind, ahead in placed:
        if behind:
            found.add(start - behind.least)
            # the lowest above every base in step with the source
            found |= {base + (start - base) % behind.step for base in bases}
        if ahead:
            low = start + ahead.least
            found |= {max(base, low) + (start - max(base, low)) % ahead.step for base in bases}
    return sorted(o for o in found if o >= 0)


@lru_cache(maxsize=_REMEMBERED)
def _conflicts(lives: tuple[tuple[BufferId, int, int], ...]) -> Mapping[BufferId, tuple[BufferId, ...]]:
    """Return for every buffer, with its first and last step, those that live at one of its steps, in their order.

    Networks of one shape have the same lives, whatever their sizes.
    """
    steps: list[list[int]] = [[] for _ in range(max((last for _, _, last in lives), default=0) + 1)]
    for number, (_, first, last) in enumerate(lives):
        for live in steps[first : last + 1]:
            live.append(number)
    found: dict[BufferId, tuple[BufferId, ...]] = {}
    for number, (buffer, first, last) in enumerate(lives):
        others = {o for live in steps[first : last + 1] for o in live} - {number}
        found[buffer] = tuple(lives[other][0] for other in sorted(others))
    return found


def units(size_bytes: int) -> int:
    """Return the units that so many bytes take."""
    return -(-size_bytes // BUFFER_ALIGN)


def aligned(size_bytes: int) -> int:
    """Return the size rounded up to `BUFFER_ALIGN`."""
    return units(size_bytes) * BUFFER_ALIGN


def _shift(rule: OverlapRule) -> Shift:
    step = lcm(rule.multiple_bytes, BUFFER_ALIGN)
    return Shift(-(-rule.distance_bytes // step) * step // BUFFER_ALIGN, step // BUFFER_ALIGN)
