"""Streaming: the operators of a stage take turns, some rows at a time, and rings of rows are all that is kept.

Source of the idea: line buffers; StreamNet (NeurIPS 2023) for microcontrollers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from services.compiler.ir.alone import remembered, tensor_order
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import DepthwiseConv2D, Op
from services.compiler.ir.planned_ops import PullRows
from services.compiler.ir.tensor import TensorId
from services.compiler.schedule.patch_spans import Lines, PartSpans, Spans, even_spans, part_spans
from services.compiler.schedule.row_bounds import LinkedOp
from services.compiler.schedule.row_parts import Demand, PartRows, inner_part, last_part
from services.compiler.schedule.row_run import RowOp
from services.compiler.schedule.row_turns import Progress, RowTurns, Turn, row_turns
from services.compiler.schedule.rows import Window, is_row_wise, pulls_whole_rows, window


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
    found: RowTurns
    rings: Mapping[TensorId, int]
    lives: Mapping[TensorId, tuple[int, int]]
    behind: Mapping[tuple[TensorId, TensorId], int]

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns that the operators take."""
        return self.found.turns


def stream(graph: Graph, start: int, stop: int, rows: int = 1) -> Stream:
    """Return the stage of operators [start, stop), each computing up to `rows` rows at a turn."""
    return Streams(graph).stage(start, stop, rows)


@dataclass(frozen=True, slots=True, eq=False)
class _Link:
    """An operator in its graph: the windows on what it reads, by how many tensors before its own first output each was
    made, and after how many operators each output is read last; None if at the end of the network. Equal ones are one
    object.
    """

    height: int
    reads: tuple[tuple[int, Window], ...]
    lasting: tuple[int | None, ...]
    lines: Lines = Lines.ANY


class Streams:
    """Finds the streamed stages of one graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        # tensors in the order of their making, the network's inputs before all others
        self._made = [*graph.inputs, *(t for op in graph.ops for t in op.outputs)]
        self._first = [0] * (len(graph.ops) + 1)  # by operator: the place of its first output in that order
        self._first[0] = len(graph.inputs)
        for i, op in enumerate(graph.ops):
            self._first[i + 1] = self._first[i] + len(op.outputs)
        last = {t: i for i, op in enumerate(graph.ops) for t in op.inputs}
        self._lasts = {**last, **dict.fromkeys(graph.outputs, len(graph.ops))}
        self._place = {t: number for number, t in enumerate(self._made)}
        self._links = self._along(1)
        self._joints = _joints(graph, self._lasts)

    def _along(self, axis: int) -> tuple[_Link | None, ...]:
        """Return the links of row-wise operators by their rows (axis 1) or their columns (axis 2)."""
        ops = enumerate(self._graph.ops)
        return tuple(self._link(i, op, axis) if is_row_wise(self._graph, op) else None for i, op in ops)

    def _link(self, index: int, op: Op, axis: int) -> _Link:
        order, own = tensor_order(op), self._first[index]
        reads = tuple((own - self._place[order[number]], slid) for number, slid in _windows(self._graph, op, axis))
        lasts = (self._lasts.get(t, index) for t in op.outputs)
        lasting = tuple(None if last == len(self._graph.ops) else last - index for last in lasts)
        lines = Lines.ANY if axis == 1 else _lines(self._graph, op)
        return _link(self._graph.tensors[op.swept].shape[axis], reads, lasting, lines)

    @cached_property
    def _column_links(self) -> tuple[_Link | None, ...]:
        return self._along(2)

    def linked(self) -> list[LinkedOp | None]:
        """Return the operators by their rows, tensors as numbers from the first operator's output on; None for those
        that are not row-wise.
        """
        found: list[LinkedOp | None] = []
        for number, link in enumerate(self._links):
            at = self._first[number] - self._first[0]
            lasts = () if link is None else link.lasting
            makes = tuple((at + n, None if last is None else number + last) for n, last in enumerate(lasts))
            reads = () if link is None else tuple((at - back, slid) for back, slid in link.reads)
            found.append(None if link is None else LinkedOp(link.height, reads, makes))
        return found

    def spans(self, start: int, stop: int, axis: int, parts: int, wanted: Spans | None) -> PartSpans:
        """Return what a part of the first operators computes for so many patches along an axis: its whole tensors are
        cut evenly, or where it is not the last part so much is wanted of its output.
        """
        links = self._links if axis == 1 else self._column_links
        return _linked_spans(links[start:stop], parts, wanted)

    def turns(self, start: int, stop: int, rows: int) -> RowTurns:
        """Return the turns of operators [start, stop); tensors are numbers as `tensor` takes them."""
        return _linked_turns(self._links[start:stop], rows)

    def part(self, start: int, stop: int, rows: int, wanted: Demand | None, *, fed: bool) -> PartRows:
        """Return a part of a stage: its last one, or one of which so much is wanted; `fed` if not its first."""
        return _linked_part(self._links[start:stop], rows, wanted, fed)

    def joint(self, before: int) -> int:
        """Return the last operator before one that reads, with those behind it, one tensor alone of those before it;
        0 if none does.
        """
        return next((i for i in range(before - 1, 0, -1) if self._joints[i] is not None), 0)

    def last_joint(self, stop: int) -> int:
        """Return where the last part of stages begins that end before the operator `stop`: after the stage nothing
        reads what is made before.
        """
        start = self.joint(stop)
        while (tensor := self._joints[start]) is not None and self._lasts[tensor] >= stop:
            start = self.joint(start)
        return start

    def tensor(self, start: int, number: int) -> TensorId:
        """Return the tensor of a number in a stage that begins with the operator `start`."""
        return self._made[self._first[start] + number]

    def stage(self, start: int, stop: int, rows: int) -> Stream:
        """Return the stage of operators [start, stop), each computing up to `rows` rows at a turn."""
        found = self.turns(start, stop, rows)
        at = self._first[start]
        rings = {self._made[at + ring.tensor]: ring for ring in found.rings}
        return Stream(
            start,
            min(stop, len(self._links)),
            found,
            {t: ring.rows for t, ring in rings.items()},
            {t: (ring.first, ring.last) for t, ring in rings.items()},
            {(self._made[at + p.source], self._made[at + p.target]): self.behind(start, p) for p in found.progress},
        )

    def behind(self, start: int, progress: Progress) -> int:
        """Return how many bytes more of the target are written than of the source are free, at worst."""
        source, target = (self._graph.tensors[self.tensor(start, t)] for t in (progress.source, progress.target))
        source_bytes = source.size_bytes
        source_row, target_row = source_bytes // source.shape[1], target.size_bytes // target.shape[1]
        height = target.shape[1]  # sums have one row, whatever they go through
        furthest = max(min(w, height) * target_row - free * source_row for w, free in progress.furthest)
        return max(furthest, -source_bytes)


@remembered
def _windows(graph: Graph, op: Op, axis: int) -> tuple[tuple[int, Window], ...]:
    """Return the windows along an axis on an operator's inputs that are no constants, by their place in `tensor_order`.

    What rows are pulled from is with the caller.
    """
    if isinstance(op, PullRows):
        return ()
    order = tensor_order(op)
    inputs = [t for t in dict.fromkeys(op.inputs) if not graph.tensors[t].is_constant]
    return tuple((order.index(t), window(graph, op, t, axis)) for t in inputs)


_link = lru_cache(maxsize=1 << 16)(_Link)


def _lines(graph: Graph, op: Op) -> Lines:
    """Return which columns of a patch it computes: pulled rows come whole, depthwise kernels are made for a width."""
    match op:
        case PullRows() if pulls_whole_rows(graph, op):
            return Lines.WHOLE
        case DepthwiseConv2D():
            return Lines.EVEN
        case _:
            return Lines.ANY


def _joints(graph: Graph, lasts: Mapping[TensorId, int]) -> list[TensorId | None]:
    """Return for every operator the tensor that alone connects what is before it with what follows; None if more do."""
    joints: list[TensorId | None] = [None]
    live = set(graph.inputs)
    for number, op in enumerate(graph.ops[:-1]):
        live.update(op.outputs)  # for ever where nobody reads it: then it is written whole, as an output is
        live -= {t for t in op.inputs if lasts[t] == number}
        joints.append(next(iter(live)) if len(live) == 1 else None)
    return joints


@lru_cache(maxsize=1 << 16)
def _linked_part(links: tuple[_Link, ...], rows: int, wanted: Demand | None, fed: bool) -> PartRows:
    ops, whole = _row_ops(links)
    return last_part(ops, whole, rows, fed) if wanted is None else inner_part(ops, wanted, rows, fed)


@lru_cache(maxsize=1 << 16)
def _linked_spans(links: tuple[_Link, ...], parts: int, wanted: Spans | None) -> PartSpans:
    ops, whole = _row_ops(links)
    lines = tuple(link.lines for link in links)
    if wanted is not None:
        return part_spans(ops, lines, {len(ops) - 1: wanted}, ())
    return part_spans(ops, lines, {t: even_spans(ops[t].height, parts) for t in whole}, whole)


@lru_cache(maxsize=1 << 16)
def _linked_turns(links: tuple[_Link, ...], rows: int) -> RowTurns:
    return row_turns(*_row_ops(links), rows)


def _row_ops(links: tuple[_Link, ...]) -> tuple[tuple[RowOp, ...], tuple[int, ...]]:
    """Return the operators of a stage or a part, and the tensors of which nothing inside reads the last."""
    ops: list[RowOp] = []
    whole: list[int] = []
    at = 0
    for index, link in enumerate(links):
        makes = tuple(range(at, at + len(link.lasting)))
        ops.append(RowOp(link.height, tuple((at - back, slid) for back, slid in link.reads), makes))
        for t, lasting in zip(makes, link.lasting, strict=True):
            if lasting is None or lasting == 0 or index + lasting >= len(links):
                whole.append(t)
        at += len(makes)
    return tuple(ops), tuple(whole)
