"""The lowest and the highest place that is free beside buffers that are placed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shift:
    """In units: a target may share its source's units if it starts `least` or more below, by a multiple of `step`."""

    least: int
    step: int

    def allows(self, source: int, target: int) -> bool:
        """Whether the two may share units when placed there."""
        return source - target >= self.least and (source - target) % self.step == 0


# another buffer and its size, how a buffer may lie over it as its target, and as its source
Neighbor = tuple[int, int, Shift | None, Shift | None]
Offsets = Mapping[int, int] | Sequence[int]


def lowest_hole(size: int, taken: list[tuple[int, int]]) -> int:
    """Return the lowest offset at which so many units lie beside all that is taken, from where up to where."""
    low = 0
    for start, stop in sorted(taken):
        if start - low >= size:
            break
        low = max(low, stop)
    return low


def lowest(size: int, beside: Sequence[Neighbor], offsets: Offsets) -> int:
    """Return the lowest offset at which so many units may lie beside neighbors, all of them placed."""
    low, top, moved = 0, size, True
    while moved:
        moved = False
        for other, length, behind, ahead in beside:
            start = offsets[other]
            if start < top and low < start + length:
                above = start + length if behind is ahead else _above(low, start, start + length, behind, ahead)
                if above != low:
                    low, top, moved = above, above + size, True
    return low


def highest(size: int, beside: Sequence[Neighbor], offsets: Offsets, extent: int) -> int:
    """Return the highest offset at which they may lie below the extent; negative if there is none."""
    high, top, moved = extent - size, extent, True
    while moved:
        moved = False
        for other, length, behind, ahead in beside:
            start = offsets[other]
            if start < top and high < start + length:
                below = start - size if behind is ahead else _below(high, start, size, behind, ahead)
                if below != high:
                    high, top, moved = below, below + size, True
    return high


def fits(offset: int, size: int, beside: Sequence[Neighbor], offsets: Offsets) -> bool:
    """Whether so many units may lie there beside neighbors, all of them placed."""
    for other, length, behind, ahead in beside:
        start = offsets[other]
        if offset + size <= start or start + length <= offset:
            continue
        if not ((behind and behind.allows(start, offset)) or (ahead and ahead.allows(offset, start))):
            return False
    return True


def _above(low: int, start: int, end: int, behind: Shift | None, ahead: Shift | None) -> int:
    """Return the lowest offset from `low` on that a neighbor from `start` to `end` allows."""
    found = end
    if behind is not None:
        over = low + (start - low) % behind.step
        if start - over >= behind.least:
            found = min(found, over)
    if ahead is not None:
        over = max(low, start + ahead.least)
        found = min(found, over + (start - over) % ahead.step)
    return found


def _below(high: int, start: int, size: int, behind: Shift | None, ahead: Shift | None) -> int:
    """Return the highest offset up to `high` that a neighbor which starts there allows."""
    found = start - size
    if behind is not None:
        over = min(high, start - behind.least)
        found = max(found, over - (over - start) % behind.step)
    if ahead is not None:
        over = high - (high - start) % ahead.step
        if over - start >= ahead.least:
            found = max(found, over)
    return found
