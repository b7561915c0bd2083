"""What streamed stages of a network need and cost, from parts and sums that its stages share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate

import numpy as np

from services.compiler.cost.layer_cost import InTurns, Setting, layer_cost
from services.compiler.ir.alone import remembered
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Op
from services.compiler.ir.tensor import TensorId
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.memory.live_range import LiveRange
from services.compiler.memory.problem import BUFFER_ALIGN, aligned
from services.compiler.options import Core
from services.compiler.schedule.row_bounds import Ints, RowBounds
from services.compiler.schedule.row_parts import Demand, PartRows
from services.compiler.schedule.rows import is_row_wise
from services.compiler.schedule.schedule import StageKind
from services.compiler.schedule.staged import turn_scratch_bytes
from services.compiler.schedule.streaming import Streams

_REMEMBERED = 1 << 17
_NOT_INSIDE = -(1 << 40)


@dataclass(frozen=True, slots=True)
class StageFacts:
    """Bytes of arena beside a stage, and modelled instructions."""

    need_bytes: int
    instructions: float


@dataclass(frozen=True, slots=True, eq=False)
class _OpBytes:
    """An operator's scratch in turns, and its outputs' bytes, those of a row and all. Equal ones are one object."""

    scratch: int
    outputs: tuple[tuple[int, int], ...]


_op_bytes = lru_cache(maxsize=_REMEMBERED)(_OpBytes)


@dataclass(frozen=True, slots=True)
class _PartBytes:
    """Bytes beside a part's fullest operator, and its last; of rings that live on before it, on after it, and beside
    its predecessor alone; and of the whole tensors that its rings stand for.
    """

    fullest: int
    last: int
    before: int
    after: int
    fed: int
    saved: int


@dataclass(frozen=True, slots=True)
class _End:
    """The end of a stage, from the beginning of a part on: bytes as in _PartBytes, `fullest` of all its operators.

    `wanted` is what it asks for, `asked` how much of that by turns of what is `written`.
    """

    start: int
    fullest: int
    before: int
    fed: int
    saved: int
    wanted: Demand | None
    written: tuple[tuple[TensorId, tuple[int, ...]], ...]
    asked: tuple[tuple[int, ...], ...]


class StageNeeds:
    """Facts of stages; `ranges` are those of whole tensors in the per-layer plan, `steps` what place operators have."""

    def __init__(
        self,
        graph: Graph,
        kernels: KernelSet,
        core: Core,
        ranges: Mapping[TensorId, LiveRange],
        steps: Mapping[int, int],
    ) -> None:
        self._graph, self._kernels, self._core = graph, kernels, core
        self._ranges, self._steps = ranges, steps
        self.streams = Streams(graph)
        self._row_wise = [is_row_wise(graph, op) for op in graph.ops]
        self._born, self._dead = _sums({r.buffer: r for r in ranges.values()}.values(), len(steps) + 2)
        self._by_rows: dict[int, tuple[tuple[_OpBytes, ...], list[float]]] = {}
        self._ends: dict[tuple[int, int], list[_End]] = {}

    def cost_sums(self, rows: int) -> Sequence[float]:
        """Return the modelled instructions of all operators before each, in turns of so many rows."""
        return self._sized(rows)[1]

    @cached_property
    def least_bytes(self) -> Ints:
        """By first operator and stop: the bytes that a stage needs at least, if its operators make a row at a turn."""
        return self.least_whole_bytes + self._least_beside()

    def _least_beside(self) -> Ints:
        """Return the bytes of rings and scratch beside the fullest operator, at least."""
        count, sized = len(self._graph.ops), self._sized(1)[0]
        bounds = RowBounds(self.streams.linked())
        found = np.zeros((count + 1, count + 1), dtype=np.int64)
        beside = np.full((count, count), _NOT_INSIDE)  # by last operator of the stage and operator
        staying = np.zeros(count, dtype=np.int64)
        for start in range(count - 1, -1, -1):
            beside[start:, start] = sized[start].scratch + staying[start:] * bounds.active[start, start:]
            for ring in bounds.rings[start]:
                row_bytes = sized[start].outputs[ring.output][0]
                size = -(-ring.rows[ring.last :] * row_bytes // BUFFER_ALIGN) * BUFFER_ALIGN
                stays = size * ring.stays[ring.last :]
                beside[ring.last :, start : ring.last + 1] += size[:, None]
                beside[ring.last :, ring.last + 1 :] += stays[:, None]
                staying[ring.last :] += stays
            found[start, start + 1 :] = beside[start:, start:].max(axis=1)
        return found

    @cached_property
    def least_whole_bytes(self) -> Ints:
        """The bytes of whole tensors, at least: what a stage uses up makes room for what it writes."""
        count = len(self._graph.ops)
        ends = np.zeros((count + 2, count + 3), dtype=np.int64)  # bytes by the operators that make and last read them
        made = {t: n + 1 for n, op in enumerate(self._graph.ops) for t in op.outputs}
        whole = {r.buffer: (made.get(t, 0), r) for t, r in self._ranges.items()}
        at = {step: op for op, step in self._steps.items()}
        for maker, r in whole.values():
            ends[maker, at.get(r.last, count) + 1] += aligned(r.size_bytes)
        before = ends.cumsum(0).cumsum(1)[: count + 1, : count + 1]  # made and read last before two operators
        made_before = ends.sum(1).cumsum()[: count + 1]
        start, stop = np.arange(count + 1)[:, None], np.arange(count + 1)[None, :]
        used_up = before - before[start, start]
        inside = before[stop, stop] - before
        written = made_before[None, :] - made_before[:, None] - inside
        kept = made_before[:, None] - before  # made before the stage and read after it
        least: Ints = kept + np.maximum(used_up, written)
        return least

    def whole_bytes(self, first: int, last: int) -> int:
        """Return the bytes of whole tensors that live at any of these steps."""
        return self._born[last] - self._dead[first]

    def facts(self, start: int, stop: int, rows: int) -> StageFacts:
        """Return what lives beside the fullest operator: rings, scratch, and whole tensors throughout; and the cost."""
        end = self._end(start, stop, rows)
        part, own = self._part(start, end, rows, fed=False)
        first, last = self._steps[start], self._steps[stop - 1]
        whole = self.whole_bytes(first, last) - end.saved - own.saved - self._shared(start, part, end, last)
        need = whole + _fullest(own, end)
        costs = self.cost_sums(rows)
        return StageFacts(need, costs[stop] - costs[start])

    def _end(self, start: int, stop: int, rows: int) -> _End:
        """Return all of a stage but its first part."""
        ends = self._ends.setdefault((stop, rows), [_End(stop, 0, 0, 0, 0, None, (), ())])
        streams = self.streams
        while (at := streams.joint(ends[-1].start) if len(ends) > 1 else streams.last_joint(stop)) > start:
            ends.append(self._longer(at, ends[-1], rows))
        return next(end for end in reversed(ends) if end.start > start)

    def _longer(self, start: int, end: _End, rows: int) -> _End:
        """Return the end with the part before it."""
        part, own = self._part(start, end, rows, fed=True)
        if end.wanted is None:
            written = tuple((self.streams.tensor(start, w.tensor), w.rows) for w in part.written)
            asked = tuple(w.asked for w in part.written)
        else:
            written = end.written
            asked = tuple(tuple(map(part.asked.__getitem__, steps)) for steps in end.asked)
        return _End(
            start,
            _fullest(own, end),
            end.before + own.before,
            own.fed,
            end.saved + own.saved,
            part.asks,
            written,
            asked,
        )

    def _part(self, start: int, end: _End, rows: int, *, fed: bool) -> tuple[PartRows, _PartBytes]:
        part = self.streams.part(start, end.start, rows, end.wanted, fed=fed)
        sized = self._sized(rows)[0][start - fed : end.start]
        return part, _part_bytes(sized, part, fed)

    def _shared(self, start: int, part: PartRows, end: _End, last: int) -> int:
        """Return the bytes that a whole output may share with an input that the stage uses up."""
        tensor = self.streams.tensor
        if end.wanted is None:
            return max(
                (
                    self._shared_by(tensor(start, source), tensor(start, w.tensor), w.rows, free, last)
                    for w in part.written
                    for source, free in w.oldest.items()
                ),
                default=0,
            )
        most = 0
        for source, oldest in part.oldest.items():
            for (target, written), asked in zip(end.written, end.asked, strict=True):
                free = map(oldest.__getitem__, asked)
                most = max(most, self._shared_by(tensor(start, source), target, written, free, last))
        return most

    def _shared_by(
        self, source_id: TensorId, target_id: TensorId, written: Iterable[int], free: Iterable[int], last: int
    ) -> int:
        """Return the bytes that a target, of which so many rows are written when so many of its source are free, may
        share with it.
        """
        source, target = self._ranges.get(source_id), self._ranges.get(target_id)
        if source is None or target is None or source.last > last:
            return 0
        tensors = self._graph.tensors
        source_row, target_row = (tensors[t].size_bytes // tensors[t].shape[1] for t in (source_id, target_id))
        height = tensors[target_id].shape[1]  # sums have one row, whatever they go through
        behind = max(min(w, height) * target_row - f * source_row for w, f in zip(written, free, strict=True))
        size = target.size_bytes
        return max(0, min(source.size_bytes, size, size - behind) // BUFFER_ALIGN * BUFFER_ALIGN)

    def _sized(self, rows: int) -> tuple[tuple[_OpBytes, ...], list[float]]:
        """Return every operator's bytes at turns of so many rows, and the sums of the instructions before it."""
        if rows not in self._by_rows:
            known = [
                self._in_turns(op, rows) if is_row_wise else (_op_bytes(0, ()), 0.0)
                for op, is_row_wise in zip(self._graph.ops, self._row_wise, strict=True)
            ]
            self._by_rows[rows] = tuple(b for b, _ in known), [0.0, *accumulate(cost for _, cost in known)]
        return self._by_rows[rows]

    def _in_turns(self, op: Op, rows: int) -> tuple[_OpBytes, float]:
        """Return an operator's bytes and instructions; turns of more rows than it has are like one of all."""
        height = self._graph.tensors[op.swept].shape[1]
        return _in_turns(self._graph, op, self._kernels, self._core, min(rows, height))


def _fullest(part: _PartBytes, end: _End) -> int:
    """Return the bytes beside the fullest operator of a part and the end behind it."""
    return max(end.fullest + part.after, max(part.fullest, part.last + end.fed) + end.before)


@lru_cache(maxsize=_REMEMBERED)
def _part_bytes(sized: tuple[_OpBytes, ...], part: PartRows, fed: bool) -> _PartBytes:
    outputs = [output for op in sized for output in op.outputs]
    own = sized[1:] if fed else sized
    beside = [op.scratch for op in own]
    before = after = alone = saved = 0
    for ring in part.rings:
        row_bytes, size_bytes = outputs[ring.tensor + fed]
        size = aligned(ring.rows * row_bytes)
        saved += aligned(size_bytes)
        for op in range(0 if ring.before else max(0, ring.first), (len(own) - 1 if ring.after else ring.last) + 1):
            beside[op] += size
        if ring.before:
            before += size
        elif ring.first < 0:
            alone += size
        if ring.after:
            after += size
    return _PartBytes(max(beside), beside[-1], before, after, alone, saved)


def _sums(ranges: Iterable[LiveRange], steps: int) -> tuple[list[int], list[int]]:
    """Return for every step the bytes of what was born until then, and of what died before it."""
    born, dead = [0] * (steps + 1), [0] * (steps + 1)
    for r in ranges:
        size = aligned(r.size_bytes)
        born[r.first] += size
        dead[min(r.last + 1, steps)] += size
    return list(accumulate(born)), list(accumulate(dead))


@remembered
def _in_turns(graph: Graph, op: Op, kernels: KernelSet, core: Core, rows: int) -> tuple[_OpBytes, float]:
    """Return the bytes and the instructions of an operator that computes so many rows at a turn."""
    _, height, width, _ = graph.tensors[op.swept].shape
    boxes = tuple(((at, min(at + rows, height)), (0, width)) for at in range(0, height, rows))
    turns = InTurns(StageKind.STREAMING, (rows, width), boxes)
    scratch_bytes = turn_scratch_bytes(graph, op, kernels, turns.extent)
    outputs = tuple((t.size_bytes // t.shape[1], t.size_bytes) for t in map(graph.tensors.__getitem__, op.outputs))
    cost = layer_cost(graph, op, Setting(kernels, core, scratch_bytes, turns))
    return _op_bytes(aligned(scratch_bytes), outputs), cost.instructions
