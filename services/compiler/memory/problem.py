"""The placement problem in whole units of alignment: sizes, who lives with whom, which overlaps are allowed."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import lcm

from services.compiler.memory.live_range import LiveRange
from services.compiler.memory.overlap import OverlapRule
from services.compiler.memory.places import Neighbor, Shift, fits, lowest, lowest_hole
from services.compiler.schedule.schedule import BufferId

BUFFER_ALIGN = 4
_REMEMBERED = 1024


Pair = tuple[BufferId, BufferId]


@dataclass(frozen=True, slots=True)
class Problem:
    """Sizes and live ranges in units of `BUFFER_ALIGN` bytes; `shifts` are by (source, target)."""

    ranges: Mapping[BufferId, LiveRange]
    sizes: Mapping[BufferId, int]
    conflicts: Mapping[BufferId, tuple[BufferId, ...]]
    shifts: Mapping[Pair, Shift]
    # by buffer: itself as a neighbor of which nothing may be shared
    _apart: dict[BufferId, Neighbor] = field(init=False, repr=False, compare=False)
    # by buffer: those that it may share units with, as its neighbors
    _sharing: dict[BufferId, dict[BufferId, Neighbor]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_apart", {b: (b, size, None, None) for b, size in self.sizes.items()})
        object.__setattr__(self, "_sharing", self._shared_pairs())

    @classmethod
    def of(cls, ranges: Sequence[LiveRange], rules: Sequence[OverlapRule]) -> Problem:
        """Return the problem; rules whose source lives on when it should have died do not hold."""
        by_buffer = {r.buffer: r for r in ranges}
        conflicts = _conflicts(tuple([(r.buffer, r.first, r.last) for r in ranges]))
        usable = (r for r in rules if by_buffer[r.source].last == by_buffer[r.target].first + r.lasting)
        sizes = {r.buffer: units(r.size_bytes) for r in ranges}
        return cls(
            by_buffer,
            sizes,
            conflicts,
            {(r.source, r.target): _shift(r.distance_bytes, r.multiple_bytes) for r in usable},
        )

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
        offsets, sizes, conflicts, sharing = dict(fixed or {}), self.sizes, self.conflicts, self._sharing
        for buffer in order:
            size = sizes[buffer]
            if buffer in sharing:
                offset = lowest(size, self.beside(buffer, offsets), offsets)
            else:
                taken = [(offsets[o], offsets[o] + sizes[o]) for o in conflicts[buffer] if o in offsets]
                offset = lowest_hole(size, taken)
            if limit is not None and offset + size >= limit:
                return None
            offsets[buffer] = offset
        return offsets

    def fits(self, buffer: BufferId, offset: int, offsets: Mapping[BufferId, int]) -> bool:
        """Whether the buffer may lie there beside those placed."""
        return fits(offset, self.sizes[buffer], self.beside(buffer, offsets), offsets)

    def beside(self, buffer: BufferId, placed: Container[BufferId]) -> list[Neighbor]:
        """Return those of the placed that live with a buffer."""
        apart, sharing = self._apart, self._sharing.get(buffer, {})
        return [sharing[o] if o in sharing else apart[o] for o in self.conflicts[buffer] if o in placed]

    def _shared_pairs(self) -> dict[BufferId, dict[BufferId, Neighbor]]:
        found: dict[BufferId, dict[BufferId, Neighbor]] = {}
        sizes, shifts = self.sizes, self.shifts
        for (source, target), shift in shifts.items():
            back = shifts.get((target, source))
            found.setdefault(target, {})[source] = source, sizes[source], shift, back
            found.setdefault(source, {})[target] = target, sizes[target], back, shift
        return found

    def extent(self, offsets: Mapping[BufferId, int]) -> int:
        """Return the units up to the highest end."""
        return max((o + self.sizes[b] for b, o in offsets.items()), default=0)


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
    return -(-size_bytes // BUFFER_ALIGN) * BUFFER_ALIGN


@lru_cache(maxsize=_REMEMBERED)
def _shift(distance_bytes: int, multiple_bytes: int) -> Shift:
    step = lcm(multiple_bytes, BUFFER_ALIGN)
    return Shift(-(-distance_bytes // step) * step // BUFFER_ALIGN, step // BUFFER_ALIGN)
