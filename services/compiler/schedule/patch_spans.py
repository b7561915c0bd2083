"""What patches are along one axis: the spans of rows, or of columns, that every operator computes for each of them.

A patch of a grid is a span of rows by a span of columns, and windows reach beyond either for itself. As those of
streamed stages (row_parts.py), parts of a network between joints know of what follows only what is wanted of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import assert_never

from services.compiler.schedule.row_run import FED, RowOp

Span = tuple[int, int]
_REMEMBERED = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """A half-open span for every patch along the axis; equal ones are one object."""

    of_patches: tuple[Span, ...]

    @property
    def longest(self) -> int:
        """The most rows or columns of a patch."""
        return max(stop - start for start, stop in self.of_patches)

    @property
    def total(self) -> int:
        """Rows or columns of all patches."""
        return sum(stop - start for start, stop in self.of_patches)


spans = lru_cache(maxsize=_REMEMBERED)(Spans)


@lru_cache(maxsize=1024)
def even_spans(size: int, parts: int) -> Spans:
    """Return the spans of patches of an output; they differ by one at most."""
    return spans(tuple((size * n // parts, size * (n + 1) // parts) for n in range(parts)))


@dataclass(frozen=True, slots=True, eq=False)
class PartSpans:
    """What is found of a part: by operator the tensors that it reads, the longest and the total of the spans that it
    computes; the operators of which outputs are `whole`; and the spans that it wants of what precedes it.
    """

    reads: tuple[tuple[int, ...], ...]
    whole: frozenset[int]
    longest: tuple[int, ...]
    total: tuple[int, ...]
    wanted: Spans | None


class Lines(Enum):
    """Which columns an operator can compute: any of them, all or for no patch all, all for every patch."""

    ANY = "any"
    EVEN = "even"
    WHOLE = "whole"

    __hash__ = object.__hash__  # members are single objects; that of Enum is slow


def part_spans(
    ops: tuple[RowOp, ...], lines: tuple[Lines, ...], ends: Mapping[int, Spans], whole: Iterable[int]
) -> PartSpans:
    """Return what the operators, each with one output, compute where such spans are needed of some tensors.

    `lines` are those of the operators, along the axis of rows any. patches.py says why.
    """
    needed, held = dict(ends), frozenset(whole)
    read = {t for op in ops for t, _ in op.reads}
    computed: list[Spans] = []
    for number in range(len(ops) - 1, -1, -1):
        op, line = ops[number], (0, ops[number].height)
        own = needed[op.makes[0]]
        if _is_whole(lines[number], own, line, is_shared=number in held & read):
            own = spans((line,) * len(own.of_patches))
        computed.append(own)
        for t, slid in op.reads:
            reached = [_not_empty(slid.needed(*span)) for span in own.of_patches]
            if lines[number] is Lines.EVEN:
                reached = [(0, slid.size) if s == line else r for r, s in zip(reached, own.of_patches, strict=True)]
            if t in needed:
                joined = zip(reached, needed[t].of_patches, strict=True)
                reached = [(min(a[0], b[0]), max(a[1], b[1])) for a, b in joined]
            needed[t] = spans(tuple(reached))
    computed.reverse()
    return PartSpans(
        tuple(tuple(t for t, _ in op.reads) for op in ops),
        held,
        tuple(s.longest for s in computed),
        tuple(s.total for s in computed),
        needed.get(FED),
    )


def _is_whole(lines: Lines, own: Spans, line: Span, *, is_shared: bool) -> bool:
    """Whether all of an output is computed for every patch; `is_shared` where it is held whole and read as well."""
    match lines:
        case Lines.ANY:
            return False
        case Lines.EVEN:
            return is_shared or line in own.of_patches
        case Lines.WHOLE:
            return True
        case _:
            assert_never(lines)


def _not_empty(span: Span) -> Span:
    """Windows that see only padding still name a place: a row or column at the image's edge."""
    low, high = span
    return (low, high) if low < high else (max(0, low - 1), max(1, low))
