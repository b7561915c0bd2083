"""Streaming: the operators of a stage take turns, some rows at a time, and rings of rows are all that is kept.

A simulation driven by demand: to make the next rows of the stage's last operator, every operator before it makes the
rows that it lacks, and no more. Nothing is computed twice. How far rings fill up is how large they must be. Source of
the idea: line buffers; StreamNet (NeurIPS 2023) for microcontrollers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Op, PullRows
from services.compiler.ir.tensor import TensorId
from services.compiler.schedule.rows import Window, is_row_wise, window


@dataclass(frozen=True, slots=True)
class Turn:
    """Operator `op` of the stage, by its place in it, computes some rows of its outputs."""

    op: int
    row_start: int
    row_stop: int


@dataclass(frozen=True, slots=True)
class Stream:
    """What the simulation found of a stage of operators [start, stop).

    `rings` are the rows that must be held of tensors which nothing outside reads, `lives` the first and last operator
    (by their places in the stage) beside which rows of them are kept. `behind` tells of every tensor that is read
    from outside (first) and every whole output (second) how many bytes more than are free of the first have been
    written of the second, at worst: the second may start that far below the first, and grow over it.
    """

    start: int
    stop: int
    turns: tuple[Turn, ...]
    rings: Mapping[TensorId, int]
    lives: Mapping[TensorId, tuple[int, int]]
    behind: Mapping[tuple[TensorId, TensorId], int]


def stream(graph: Graph, start: int, stop: int, rows: int = 1) -> Stream:
    """Return the stage of operators [start, stop), each computing up to `rows` rows at a turn."""
    return _Simulation.of(graph, start, stop, rows).run()


def can_stream(graph: Graph, start: int, stop: int) -> bool:
    """Whether every operator of the stage is row-wise."""
    return all(is_row_wise(graph, op) for op in graph.ops[start:stop])


@dataclass(slots=True)
class _Simulation:
    """Which rows of every tensor are made and which are still needed, while operators take turns."""

    graph: Graph
    start: int
    ops: tuple[Op, ...]
    rows: int
    producer: dict[TensorId, int]
    readers: dict[TensorId, list[tuple[int, Window]]]
    whole: tuple[TensorId, ...]  # made here and read outside
    outside: tuple[TensorId, ...]  # made outside and read here
    done: list[int] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    rings: dict[TensorId, int] = field(default_factory=dict)
    behind: dict[tuple[TensorId, TensorId], int] = field(default_factory=dict)
    kept: int = 0  # tensors of which rows are held, as bits
    beside: list[int] = field(default_factory=list)  # by operator: tensors that were held at any of its turns

    @classmethod
    def of(cls, graph: Graph, start: int, stop: int, rows: int) -> _Simulation:
        ops = graph.ops[start:stop]
        producer = {t: i for i, op in enumerate(ops) for t in op.outputs}
        readers: dict[TensorId, list[tuple[int, Window]]] = {}
        for i, op in enumerate(ops):
            for t in dict.fromkeys(op.inputs):
                if not graph.tensors[t].is_constant and not isinstance(op, PullRows):  # that is with the caller
                    readers.setdefault(t, []).append((i, window(graph, op, t)))
        later = {t for op in graph.ops[stop:] for t in op.inputs} | set(graph.outputs)
        whole = tuple(t for t in producer if t in later or t not in readers)
        outside = tuple(t for t in readers if t not in producer)
        rings = {t: 1 for t in producer if t not in whole}
        empty = [0] * len(ops)
        return cls(graph, start, ops, rows, producer, readers, whole, outside, empty, [], rings, {}, 0, list(empty))

    def run(self) -> Stream:
        """Make all rows of the stage's last operators, those of several in step."""
        ends = sorted({self.producer[t] for t in self.whole})
        last = self.height(ends[-1])
        for row in range(self.rows, last + self.rows, self.rows):
            for end in ends:
                self.make(end, min(self.height(end), -(-row * self.height(end) // last)))
        lives = {t: self.life(t) for t in self.rings}
        return Stream(self.start, self.start + len(self.ops), tuple(self.turns), self.rings, lives, self.behind)

    def height(self, op: int) -> int:
        return self.graph.tensors[self.ops[op].output].shape[1]

    def make(self, op: int, stop: int) -> None:
        """Make the operator's rows up to `stop`, and first what they need."""
        while self.done[op] < stop:
            first = self.done[op]
            last = min(stop, first + self.rows)
            for t in dict.fromkeys(self.ops[op].inputs):
                if t in self.producer:
                    slid = next(w for reader, w in self.readers[t] if reader == op)
                    self.make(self.producer[t], slid.needed(first, last)[1])
            self.take_turn(op, first, last)

    def take_turn(self, op: int, first: int, last: int) -> None:
        outputs = self.ops[op].outputs
        self.turns.append(Turn(op, first, last))
        for t in outputs:
            if t in self.rings:
                self.rings[t] = max(self.rings[t], last - self.oldest(t))
                self.kept |= 1 << t
        for source in self.outside:
            for target in outputs:
                if target in self.whole:
                    self.note_behind(source, target, last)
        self.beside[op] |= self.kept
        self.done[op] = last
        for t in (*self.ops[op].inputs, *outputs):
            if t in self.rings and self.oldest(t) >= self.done[self.producer[t]]:
                self.kept &= ~(1 << t)

    def note_behind(self, source: TensorId, target: TensorId, written: int) -> None:
        ahead = written * self.row_bytes(target) - self.oldest(source) * self.row_bytes(source)
        self.behind[source, target] = max(ahead, self.behind.get((source, target), -self.size(source)))

    def oldest(self, tensor: TensorId) -> int:
        """Return the first row that a reader still needs."""
        size = self.graph.tensors[tensor].shape[1]
        return min((self._next_row(op, w) for op, w in self.readers[tensor]), default=size)

    def _next_row(self, op: int, slid: Window) -> int:
        at, end = self.done[op], self.height(op)
        return slid.size if at >= end else slid.needed(at, at + 1)[0]

    def life(self, tensor: TensorId) -> tuple[int, int]:
        found = [i for i, held in enumerate(self.beside) if held >> tensor & 1]
        readers = [op for op, _ in self.readers[tensor]]
        return min(found), max([*found, *readers])

    def row_bytes(self, tensor: TensorId) -> int:
        return self.size(tensor) // self.graph.tensors[tensor].shape[1]

    def size(self, tensor: TensorId) -> int:
        return self.graph.tensors[tensor].size_bytes
