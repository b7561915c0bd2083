"""The turns of a streamed stage, known from windows and heights alone.

A simulation driven by demand: to make the next rows of the stage's last operator, every operator before it makes the
rows that it lacks, and no more. Nothing is computed twice. How far rings fill up is how large they must be. In a
search the same windows come again with other channels: what was found of them is remembered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from services.compiler.schedule.rows import Window

_REMEMBERED = 1 << 16


@dataclass(frozen=True, slots=True)
class Turn:
    """Operator `op` of the stage, by its place in it, computes some rows of its outputs."""

    op: int
    row_start: int
    row_stop: int


@dataclass(frozen=True, slots=True)
class RowOp:
    """An operator as rows see it: `height` of its outputs, the tensors it reads and how, the tensors it makes.

    Tensors are numbers, below 0 for those that are made outside of the stage.
    """

    height: int
    reads: tuple[tuple[int, Window], ...]
    makes: tuple[int, ...]


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
    return _Simulation.of(ops, whole, rows).run()


@dataclass(slots=True)
class _Simulation:
    """Which rows of every tensor are made and which are still needed, while operators take turns."""

    ops: tuple[RowOp, ...]
    rows: int
    producer: dict[int, int]
    readers: dict[int, list[tuple[int, Window]]]
    whole: tuple[int, ...]
    outside: tuple[int, ...]
    done: list[int]
    oldest: dict[int, int]  # the first row of a tensor that a reader still needs
    rings: dict[int, int]
    turns: list[Turn] = field(default_factory=list)
    ahead: dict[tuple[int, int], dict[int, int]] = field(default_factory=dict)
    beside: dict[int, set[int]] = field(default_factory=dict)  # by tensor: operators at whose turns rows are held
    kept: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, ops: tuple[RowOp, ...], whole: tuple[int, ...], rows: int) -> _Simulation:
        producer = {t: i for i, op in enumerate(ops) for t in op.makes}
        readers: dict[int, list[tuple[int, Window]]] = {}
        for i, op in enumerate(ops):
            for t, slid in op.reads:
                readers.setdefault(t, []).append((i, slid))
        outside = tuple(t for t in readers if t not in producer)
        rings = {t: 1 for t in producer if t not in whole}
        found = cls(ops, rows, producer, readers, whole, outside, [0] * len(ops), {}, rings)
        found.oldest = {t: found.first_needed(t) for t in readers}
        found.beside = {t: set() for t in rings}
        return found

    def run(self) -> RowTurns:
        """Make all rows of the stage's last operators, those of several in step."""
        ends = sorted({self.producer[t] for t in self.whole})
        last = self.ops[ends[-1]].height
        for row in range(self.rows, last + self.rows, self.rows):
            for end in ends:
                height = self.ops[end].height
                self.make(end, min(height, -(-row * height // last)))
        rings = (Ring(t, rows, *self.life(t)) for t, rows in self.rings.items())
        progress = (Progress(*pair, _hull(ahead)) for pair, ahead in self.ahead.items())
        parts = tuple(part for turn in self.turns for part in self.cut(turn))
        most = [0] * len(self.ops)
        for part in parts:
            most[part.op] = max(most[part.op], part.row_stop - part.row_start)
        return RowTurns(tuple(self.turns), parts, tuple(most), tuple(rings), tuple(progress))

    def cut(self, turn: Turn) -> Iterator[Turn]:
        """Yield the turn in parts: no output crosses its ring's end, and no input but a sliding window's."""
        at = turn.row_start
        while at < turn.row_stop:
            stop = min([turn.row_stop, *self.ring_ends(self.ops[turn.op], at)])
            yield Turn(turn.op, at, stop)
            at = stop

    def ring_ends(self, op: RowOp, row: int) -> Iterator[int]:
        """Yield the output rows at which the operator's rings end, after one."""
        rings = self.rings
        yield from (row // rings[t] * rings[t] + rings[t] for t in op.makes if t in rings)
        for t, slid in op.reads:
            if t in rings and not slid.slides and not slid.whole:
                first = max(0, row * slid.stride + slid.offset)
                end = first // rings[t] * rings[t] + rings[t]
                yield max(row + 1, -(-(end - slid.offset) // slid.stride))

    def make(self, op: int, stop: int) -> None:
        """Make the operator's rows up to `stop`, and first what they need."""
        while self.done[op] < stop:
            first = self.done[op]
            last = min(stop, first + self.rows)
            for t, slid in self.ops[op].reads:
                if t in self.producer:
                    needed = slid.needed(first, last)[1]
                    if self.done[self.producer[t]] < needed:
                        self.make(self.producer[t], needed)
            self.take_turn(op, first, last)

    def take_turn(self, op: int, first: int, last: int) -> None:
        reads, makes = self.ops[op].reads, self.ops[op].makes
        self.turns.append(Turn(op, first, last))
        for t in makes:
            if t in self.rings:
                self.rings[t] = max(self.rings[t], last - self.oldest[t])
                self.kept.add(t)
            else:
                for source in self.outside:
                    ahead = self.ahead.setdefault((source, t), {})
                    ahead[self.oldest[source]] = max(last, ahead.get(self.oldest[source], 0))
        for t in self.kept:
            self.beside[t].add(op)
        self.done[op] = last
        for t, _ in reads:
            self.oldest[t] = self.first_needed(t)
        self.kept -= {t for t in (*(t for t, _ in reads), *makes) if t in self.rings and self.is_used_up(t)}

    def is_used_up(self, tensor: int) -> bool:
        return self.oldest[tensor] >= self.done[self.producer[tensor]]

    def first_needed(self, tensor: int) -> int:
        return min(self.next_row(op, slid) for op, slid in self.readers[tensor])

    def next_row(self, op: int, slid: Window) -> int:
        at = self.done[op]
        return slid.size if at >= self.ops[op].height else slid.needed(at, at + 1)[0]

    def life(self, tensor: int) -> tuple[int, int]:
        readers = [op for op, _ in self.readers[tensor]]
        return min(self.beside[tensor]), max(*self.beside[tensor], *readers)


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
