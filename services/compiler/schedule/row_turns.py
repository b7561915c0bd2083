"""The turns of a streamed stage, known from windows and heights alone.

In a search the same windows come again with other channels: what was found of them is remembered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from services.compiler.schedule.row_run import RowOp, RowRun

_REMEMBERED = 1 << 16


@dataclass(frozen=True, slots=True)
class Turn:
    """Operator `op` of the stage, by its place in it, computes some rows of its outputs."""

    op: int
    row_start: int
    row_stop: int


@dataclass(frozen=True, slots=True)
class Ring:
    """The most rows of a tensor that are held, beside the operators from `first` to `last`."""

    tensor: int
    rows: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Progress:
    """While `source` is read from outside, `target` is written whole: where a target is furthest ahead of its source,
    for any sizes of their rows, as pairs of rows written and rows that are not needed any more.
    """

    source: int
    target: int
    furthest: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class RowTurns:
    """What the simulation found; `parts` are the turns, cut where rings end, `most_rows` those of every operator's
    largest part.
    """

    turns: tuple[Turn, ...]
    parts: tuple[Turn, ...]
    most_rows: tuple[int, ...]
    rings: tuple[Ring, ...]
    progress: tuple[Progress, ...]


@lru_cache(maxsize=_REMEMBERED)
def row_turns(ops: tuple[RowOp, ...], whole: tuple[int, ...], rows: int) -> RowTurns:
    """Return the turns of a stage of which every operator computes up to `rows` rows at once; `whole` are the tensors
    that are read outside.
    """
    run = RowRun.of(ops, whole, rows)
    for step in whole_steps(ops, whole, rows):
        for op, stop in step:
            run.make(op, stop)
    parts = tuple(part for turn in run.turns for part in _cut(ops, run.rings, Turn(*turn)))
    most = [0] * len(ops)
    for part in parts:
        most[part.op] = max(most[part.op], part.row_stop - part.row_start)
    rings = tuple(Ring(t, held, *run.life(t)) for t, held in run.rings.items())
    return RowTurns(tuple(Turn(*turn) for turn in run.turns), parts, tuple(most), rings, tuple(_progress(run)))


def whole_steps(ops: tuple[RowOp, ...], whole: tuple[int, ...], rows: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """Yield how far the makers of whole tensors get at every step, several of them in step."""
    makers = [n for n, op in enumerate(ops) if any(t in whole for t in op.makes)]
    last = ops[makers[-1]].height
    for row in range(rows, last + rows, rows):
        yield tuple((n, min(ops[n].height, -(-row * ops[n].height // last))) for n in makers)


def _progress(run: RowRun) -> Iterator[Progress]:
    for target, written in run.written.items():
        for source, oldest in written.oldest.items():
            ahead: dict[int, int] = {}
            for rows, free in zip(written.rows, oldest, strict=True):
                ahead[free] = max(rows, ahead.get(free, 0))
            yield Progress(source, target, _hull(ahead))


def _cut(ops: tuple[RowOp, ...], rings: Mapping[int, int], turn: Turn) -> Iterator[Turn]:
    """Yield the turn in parts: no output crosses its ring's end, and no input but a sliding window's."""
    at = turn.row_start
    while at < turn.row_stop:
        stop = min([turn.row_stop, *_ring_ends(ops[turn.op], rings, at)])
        yield Turn(turn.op, at, stop)
        at = stop


def _ring_ends(op: RowOp, rings: Mapping[int, int], row: int) -> Iterator[int]:
    """Yield the output rows at which the operator's rings end, after one."""
    yield from (row // rings[t] * rings[t] + rings[t] for t in op.makes if t in rings)
    for t, slid in op.reads:
        if t in rings and not slid.slides and not slid.whole:
            first = max(0, row * slid.stride + slid.offset)
            end = first // rings[t] * rings[t] + rings[t]
            yield max(row + 1, -(-(end - slid.offset) // slid.stride))


def _hull(ahead: dict[int, int]) -> tuple[tuple[int, int], ...]:
    """Return the pairs (written, free) of which one is furthest ahead for any weights: the upper convex hull."""
    found: list[tuple[int, int]] = []
    for free, written in sorted(ahead.items()):
        while len(found) > 1 and _is_below(found[-2], found[-1], (written, free)):
            found.pop()
        found.append((written, free))
    return tuple(found)


def _is_below(left: tuple[int, int], middle: tuple[int, int], right: tuple[int, int]) -> bool:
    rise = (right[0] - left[0]) * (middle[1] - left[1])
    return (middle[0] - left[0]) * (right[1] - left[1]) <= rise
