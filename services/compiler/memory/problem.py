"""The placement problem in whole units of alignment: sizes, who lives with whom, which overlaps are allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import lcm

from services.compiler.memory.live_range import LiveRange
from services.compiler.memory.overlap import OverlapRule
from services.compiler.schedule.schedule import BufferId

BUFFER_ALIGN = 4

Pair = tuple[BufferId, BufferId]


@dataclass(frozen=True, slots=True)
class Shift:
    """In units: a target may share its source's units if it starts `least` or more below, by a multiple of `step`."""

    least: int
    step: int

    def allows(self, source: int, target: int) -> bool:
        """Whether the two may share units when placed there."""
        return source - target >= self.least and (source - target) % self.step == 0


@dataclass(frozen=True, slots=True)
class Problem:
    """Sizes and live ranges in units of `BUFFER_ALIGN` bytes; `shifts` are by (source, target)."""

    ranges: Mapping[BufferId, LiveRange]
    sizes: Mapping[BufferId, int]
    shifts: Mapping[Pair, Shift]

    @classmethod
    def of(cls, ranges: Sequence[LiveRange], rules: Sequence[OverlapRule]) -> Problem:
        """Return the problem; rules whose source lives on when it should have died do not hold."""
        by_buffer = {r.buffer: r for r in ranges}
        usable = (r for r in rules if by_buffer[r.source].last == by_buffer[r.target].first + r.lasting)
        return cls(
            by_buffer,
            {r.buffer: -(-r.size_bytes // BUFFER_ALIGN) for r in ranges},
            {(r.source, r.target): _shift(r.distance_bytes, r.multiple_bytes) for r in usable},
        )

    def part(self, buffers: Sequence[BufferId]) -> Problem:
        """Return the problem of some buffers only, in their order."""
        kept = set(buffers)
        return Problem(
            {b: lives for b, lives in self.ranges.items() if b in kept},
            {b: self.sizes[b] for b in buffers},
            {pair: shift for pair, shift in self.shifts.items() if kept.issuperset(pair)},
        )

    def pairs(self) -> Iterator[Pair]:
        """Yield every two buffers that live together once; a pair with a shift as (source, target)."""
        for a in self.sizes:
            for b, lives in self.ranges.items():
                is_told = (a, b) in self.shifts or (a < b and (b, a) not in self.shifts)
                if is_told and a != b and lives.overlaps(self.ranges[a]):
                    yield a, b

    def allows(self, offsets: Mapping[BufferId, int]) -> bool:
        """Whether those that are placed may lie there together."""
        pairs = (pair for pair in self.pairs() if offsets.keys() >= set(pair))
        return all(self._may_lie(a, b, offsets[a], offsets[b]) for a, b in pairs)

    def _may_lie(self, a: BufferId, b: BufferId, at: int, other: int) -> bool:
        if at + self.sizes[a] <= other or other + self.sizes[b] <= at:
            return True
        behind, ahead = self.shifts.get((a, b)), self.shifts.get((b, a))
        return (behind is not None and behind.allows(at, other)) or (ahead is not None and ahead.allows(other, at))

    def extent(self, offsets: Mapping[BufferId, int]) -> int:
        """Return the units up to the highest end."""
        return max((o + self.sizes[b] for b, o in offsets.items()), default=0)


def aligned(size_bytes: int) -> int:
    """Return the size rounded up to `BUFFER_ALIGN`."""
    return -(-size_bytes // BUFFER_ALIGN) * BUFFER_ALIGN


def _shift(distance_bytes: int, multiple_bytes: int) -> Shift:
    step = lcm(multiple_bytes, BUFFER_ALIGN)
    return Shift(-(-distance_bytes // step) * step // BUFFER_ALIGN, step // BUFFER_ALIGN)
