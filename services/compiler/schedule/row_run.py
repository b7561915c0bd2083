"""A simulation of streamed operators, driven by demand: to make its next rows an operator asks those before it for the
rows that it lacks, and no more. Nothing is computed twice. How far rings fill up is how large they must be.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.compiler.schedule.rows import Window

# In a part of a stage: the tensor that the operator before it makes, the last one made before it.
FED = -1


@dataclass(frozen=True, slots=True)
class RowOp:
    """An operator as rows see it: `height` of its outputs, the tensors it reads and how, the tensors it makes.

    Tensors are numbers, below 0 for those that are made outside.
    """

    height: int
    reads: tuple[tuple[int, Window], ...]
    makes: tuple[int, ...]


@dataclass(slots=True)
class Written:
    """By turns of its maker: rows of a whole tensor that are written, steps that were asked of what precedes, and the
    first row that is still needed of every tensor from outside.
    """

    rows: list[int] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    oldest: dict[int, list[int]] = field(default_factory=dict)


@dataclass(slots=True)
class RowRun:
    """Which rows of every tensor are made and which are still needed, while operators take turns.

    `asks` are the rows that were asked for of what precedes (`fed` or not at all), `before` and `after` the tensors of
    which rows were held while operators before these ran, or those after them.
    """

    ops: tuple[RowOp, ...]
    rows: int
    fed: bool
    producer: dict[int, int]
    readers: dict[int, list[tuple[int, Window]]]
    done: list[int]
    rings: dict[int, int]
    written: dict[int, Written]
    oldest: dict[int, int] = field(default_factory=dict)  # the first row of a tensor that a reader still needs
    turns: list[tuple[int, int, int]] = field(default_factory=list)  # operator, first row, row after the last
    asks: list[int] = field(default_factory=list)
    beside: dict[int, set[int]] = field(default_factory=dict)  # by tensor: operators at whose turns rows are held
    kept: set[int] = field(default_factory=set)
    before: set[int] = field(default_factory=set)
    after: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, ops: tuple[RowOp, ...], whole: Iterable[int], rows: int, *, fed: bool = False) -> RowRun:
        """Return the run before its first turn; `whole` are the tensors that are held whole."""
        producer = {t: i for i, op in enumerate(ops) for t in op.makes}
        readers: dict[int, list[tuple[int, Window]]] = {}
        for i, op in enumerate(ops):
            for t, slid in op.reads:
                readers.setdefault(t, []).append((i, slid))
        rings = {t: 1 for t in producer if t in readers and t not in whole}
        rings |= {FED: 1} if fed else {}
        found = cls(ops, rows, fed, producer, readers, [0] * len(ops), rings, {t: Written() for t in whole})
        found.oldest = {t: found.first_needed(t) for t in readers}
        found.beside = {t: set() for t in rings}
        return found

    @property
    def outside(self) -> tuple[int, ...]:
        """The tensors that are read from outside of the stage."""
        return tuple(t for t in self.readers if t not in self.producer and not (self.fed and t == FED))

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
                elif self.fed and t == FED:
                    self.ask(slid.needed(first, last)[1])
            self.take_turn(op, first, last)

    def ask(self, stop: int) -> None:
        """Ask for rows of what precedes."""
        before = self.asks[-1] if self.asks else 0
        if stop > before:
            self.before |= self.kept
            if before + (stop - before - 1) // self.rows * self.rows > max(before, self.oldest[FED]):
                self.before.add(FED)  # takes several turns there, and rows are needed of one before the last
            self.asks.append(stop)
            self.rings[FED] = max(self.rings[FED], stop - self.oldest[FED])
            self.beside[FED].add(-1)
            self.kept.add(FED)

    def take_turn(self, op: int, first: int, last: int) -> None:
        """Compute some rows."""
        reads, makes = self.ops[op].reads, self.ops[op].makes
        self.turns.append((op, first, last))
        for t in makes:
            if t in self.rings:
                self.rings[t] = max(self.rings[t], last - self.oldest[t])
                self.kept.add(t)
            elif t in self.written:
                self.write(self.written[t], last)
        for t in self.kept:
            self.beside[t].add(op)
        self.done[op] = last
        for t, _ in reads:
            self.oldest[t] = self.first_needed(t)
        self.kept -= {t for t in (*(t for t, _ in reads), *makes) if t in self.kept and self.is_used_up(t)}

    def write(self, written: Written, last: int) -> None:
        """Note how far a whole tensor is written."""
        written.rows.append(last)
        written.asked.append(len(self.asks))
        for t in self.outside:
            written.oldest.setdefault(t, []).append(self.oldest[t])

    def is_used_up(self, tensor: int) -> bool:
        """Whether no row of what was made of a tensor is needed any more."""
        made = self.done[self.producer[tensor]] if tensor in self.producer else self.asks[-1]
        return self.oldest[tensor] >= made

    def first_needed(self, tensor: int) -> int:
        """Return the first row of a tensor that a reader still needs."""
        return min(self.next_row(op, slid) for op, slid in self.readers[tensor])

    def next_row(self, op: int, slid: Window) -> int:
        """Return the first row that an operator still needs through a window."""
        at = self.done[op]
        return slid.size if at >= self.ops[op].height else slid.needed(at, at + 1)[0]

    def life(self, tensor: int) -> tuple[int, int]:
        """Return the first and last operator beside which rows of a tensor are held."""
        readers = [op for op, _ in self.readers[tensor]]
        beside = self.beside[tensor]
        return min(beside, default=readers[0]), max((*beside, *readers))
