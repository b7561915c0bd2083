"""The pieces that a network can be cut into, operator by operator or streamed: what each needs and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import inf

import numpy as np

from services.compiler.cost.layer_cost import Setting, layer_cost
from services.compiler.ir.ops import Reshape
from services.compiler.ir.planned_ops import PullRows
from services.compiler.ir.tensor import TensorId
from services.compiler.macs import op_macs
from services.compiler.memory.live_range import LiveRange
from services.compiler.memory.problem import aligned
from services.compiler.options import Core
from services.compiler.planned import Planned, StreamPlanner
from services.compiler.planner.bottleneck import NEVER, Bottleneck
from services.compiler.planner.patch_needs import PatchNeeds
from services.compiler.planner.stage_needs import StageNeeds
from services.compiler.schedule.patches import Grid, can_patch, sum_stages
from services.compiler.schedule.row_bounds import Ints
from services.compiler.schedule.rows import is_row_wise
from services.compiler.schedule.schedule import BufferId, BufferKind
from services.compiler.schedule.streaming import Stream

# Rows that an operator computes at a turn: more cost memory, fewer cost time.
_ROWS = (1, 2, 3, 4, 6, 8)
# Beside these where images have at most so many columns, signals for instance: there a row is soon done.
_NARROW, _ROWS_OF_NARROW = 4, (16, 32, 64)
_PATIENCE = 12
# A pulled input is never held whole: a piece that would do so is beyond every limit.
BEYOND_BYTES = 1 << 40


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Operators [start, stop), streamed by so many rows or not; bytes of arena beside them, cost."""

    start: int
    stop: int
    need_bytes: int
    instructions: float
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class PatchCut:
    """Stages of operators [start, stop) over a grid of patches, the last one and those that sum images before it: bytes
    of arena beside them, and beside any operator of the network; multiply-accumulates of the network; whether images
    are made again behind their sums.
    """

    stages: tuple[tuple[int, int], ...]
    grid: Grid
    own_bytes: int
    need_bytes: int
    macs: int
    makes_again: bool

    @property
    def stop(self) -> int:
        """The operator behind the patches."""
        return self.stages[-1][1]


@dataclass(frozen=True, slots=True)
class _PatchStage:
    """A stage in patches: bytes of arena beside it, multiply-accumulates."""

    need_bytes: int
    macs: int


class Pieces:
    """Finds pieces of a network that was planned operator by operator; remembers what it found."""

    def __init__(self, whole: Planned, core: Core, *, input_in_arena: bool = True) -> None:
        graph, schedule = whole.graph, whole.schedule
        self.graph, self.kernels, self._core = graph, whole.kernels, core
        self._buffer = {t: b.id for b in schedule.buffers for t in b.tensors}
        kinds = {b.id: b.kind for b in schedule.buffers}
        outside = (BufferKind.SCRATCH,) if input_in_arena else (BufferKind.SCRATCH, BufferKind.INPUT)
        self._ranges: Mapping[BufferId, LiveRange] = {
            r.buffer: r for r in whole.ranges if kinds[r.buffer] not in outside
        }
        steps = tuple(schedule.steps())
        sizes = {b.id: b.size_bytes for b in schedule.buffers}
        self._slots = {step.op_index: index for index, step in enumerate(steps)}
        self._whole_scratch = {s.op_index: 0 if s.scratch is None else sizes[s.scratch] for s in steps}
        self.planner = StreamPlanner(graph, whole.kernels, input_in_arena=input_in_arena)
        self._needs = self.planner.needs()
        by_tensor = {t: self._ranges[b] for t, b in self._buffer.items() if b in self._ranges}
        self._stages = StageNeeds(graph, self.kernels, core, by_tensor, self._slots)
        self._patches = PatchNeeds(graph, self.kernels, self._stages.streams)
        self._raised: dict[Piece, int] = {}
        self._singles = [self._single(op) for op in range(len(graph.ops))]
        self._single_needs = [piece.need_bytes for piece in self._singles]
        self._row_wise_until = _ends_of_runs([is_row_wise(graph, op) for op in graph.ops])
        self._heights = [(graph.tensors[op.swept].shape[1:2] or (1,))[0] for op in graph.ops]
        widths = (graph.tensors[op.swept].shape[2] for op in graph.ops if is_row_wise(graph, op))
        self._rows = _ROWS + (_ROWS_OF_NARROW if max(widths, default=0) <= _NARROW else ())
        self._by_cost: dict[tuple[int, int], list[tuple[float, int]]] = {}
        self._streamed: dict[tuple[int, int, int], Piece] = {}

    def need_bytes(self, piece: Piece) -> int:
        """Return the arena that the piece needs, as far as is known."""
        return max(piece.need_bytes, self._raised.get(piece, 0))

    def raise_need(self, piece: Piece, need_bytes: int) -> None:
        """Note that a piece needed more, where its buffers were placed, than their sizes told."""
        self._raised[piece] = need_bytes
        if piece.rows is None:
            self._single_needs[piece.start] = self.need_bytes(piece)
        if piece.rows in (None, 1):
            self._bottleneck.set_need(piece.start, piece.stop, self.need_bytes(piece))

    def apart(self) -> Pieces:
        """Return pieces that know as much, and note for themselves what they are told of needs from now on."""
        found = copy(self)
        found._raised, found._single_needs = dict(self._raised), list(self._single_needs)
        found.__dict__.pop("_bottleneck", None)
        for piece in self._raised:
            found.raise_need(piece, self.need_bytes(piece))
        return found

    def slots(self, piece: Piece) -> tuple[int, ...]:
        """Return the numbers of the piece's layers."""
        return tuple(self._slots[op] for op in range(piece.start, piece.stop) if op in self._slots)

    def single(self, op: int) -> Piece:
        """Return the piece of one operator that is not streamed."""
        return self._singles[op]

    def _single(self, op: int) -> Piece:
        node = self.graph.ops[op]
        if isinstance(node, Reshape):
            return Piece(op, op + 1, 0, 0.0)
        setting = Setting(self.kernels, self._core, self._whole_scratch[op])
        need = BEYOND_BYTES if isinstance(node, PullRows) else self._needs[self._slots[op]]
        return Piece(op, op + 1, need, layer_cost(self.graph, node, setting).instructions)

    def stream(self, piece: Piece) -> Stream | None:
        """Return the turns of a streamed piece."""
        return None if piece.rows is None else self._stages.streams.stage(piece.start, piece.stop, piece.rows)

    def stops(self, start: int) -> range:
        """Return where streamed pieces from an operator on can stop."""
        return range(start + 2, self._row_wise_until[start] + 1)

    def streamed(self, start: int, stop: int, rows: int) -> Piece:
        """Return a streamed piece with so many rows a turn."""
        return self._piece(start, stop, rows)

    def stops_within(self, start: int, limit_bytes: float) -> list[int]:
        """Return where streamed pieces stop that may keep to the limit, a row at a time, as far as is known."""
        first = start + 2
        found: list[int] = (np.flatnonzero(self._bounds[start, first:] <= limit_bytes) + first).tolist()
        return found

    def least_memory(self, first: int) -> int:
        """Return the arena of the neediest piece from an operator on, in the cut where it needs least."""
        return self._bottleneck.least(first)

    def least_memory_without(self, image: TensorId) -> int:
        """Return what `least_memory` of all operators were, at least, if an image need not be held: beside its maker,
        its one reader and what is between them.
        """
        maker = next(n for n, op in enumerate(self.graph.ops) if image in op.outputs)
        reader = next(n for n, op in enumerate(self.graph.ops) if image in op.inputs)
        size = aligned(self.graph.tensors[image].size_bytes)

        def less(start: int, stop: int) -> int:
            return size if start <= reader and stop > maker else 0

        bounds = self._bounds.copy()
        beside = bounds[: reader + 1, maker + 1 :]
        beside[beside != NEVER] -= size
        found = Bottleneck(bounds, lambda s, e: self.need_bytes(self.streamed(s, e, 1)) - less(s, e))
        for op in range(len(self.graph.ops)):
            found.set_need(op, op + 1, self.need_bytes(self.single(op)) - less(op, op + 1))
        return found.least(0)

    @cached_property
    def _bounds(self) -> Ints:
        """By start and stop: what a piece needs at least, streamed a row at a time; NEVER where it cannot be."""
        count = len(self.graph.ops)
        found = np.full((count + 1, count + 1), NEVER, dtype=np.int64)
        for start in range(count):
            stops = self.stops(start)
            found[start, stops.start : stops.stop] = self._stages.least_bytes[start, stops.start : stops.stop]
        return found

    @cached_property
    def _bottleneck(self) -> Bottleneck:
        found = Bottleneck(self._bounds, lambda start, stop: self.need_bytes(self.streamed(start, stop, 1)))
        for op in range(len(self.graph.ops)):
            found.set_need(op, op + 1, self.need_bytes(self.single(op)))
        return found

    def by_cost(self, start: int, stop: int) -> list[tuple[float, int]]:
        """Return what a streamed piece costs by its rows a turn, cheapest first: up to half of its highest image."""
        if (start, stop) not in self._by_cost:
            most = max(self._heights[start:stop]) // 2
            sums = self._cost_sums
            rows = (rows for rows in self._rows if rows == 1 or rows <= most)
            self._by_cost[start, stop] = sorted((sums[each][stop] - sums[each][start], each) for each in rows)
        return self._by_cost[start, stop]

    @cached_property
    def _cost_sums(self) -> Mapping[int, Sequence[float]]:
        """By rows a turn: the instructions of all operators before each."""
        return {rows: self._stages.cost_sums(rows) for rows in self._rows}

    def needy(self, limit_bytes: float) -> list[int]:
        """Return for every operator how many before it would alone need more than the limit."""
        return list(accumulate((need > limit_bytes for need in self._single_needs), initial=0))

    def streamed_from(self, start: int) -> Iterator[Piece]:
        """Yield every streamed piece of two operators and more from one on, a row at a time."""
        yield from (self._piece(start, stop, 1) for stop in self.stops(start))

    def patched(self, grids: Iterable[Grid], count: int, room_bytes: int = 0) -> Iterator[PatchCut]:
        """Yield what patches at the beginning can be, among them all within the room and the `count` of least need.

        Ends where so many operators more in patches did not help: the halo only grows.
        """
        best, since = inf, 0
        least: list[int] = [BEYOND_BYTES] * count
        after = list(accumulate(reversed(self._single_needs), max, initial=0))[::-1]
        macs = list(accumulate((op_macs(self.graph, op) for op in reversed(self.graph.ops)), initial=0))[::-1]
        sums, first = sum_stages(self.graph)
        before = {grid: known for grid in grids if (known := self._before(sums, first, grid)) is not None}
        for grid, (own, done) in before.items() if sums else ():
            stop = sums[-1][1]
            yield PatchCut(sums, grid, own, max(after[stop], own), done + macs[first], True)
        for stop in range(first + 1, len(self.graph.ops) + 1):
            if not can_patch(self.graph, self.graph.ops[stop - 1]):
                break
            if stop == first + 1:
                continue
            if since == _PATIENCE:
                break
            since += 1
            if self._stages.least_whole_bytes[first, stop] > max(after[stop], room_bytes, least[-1] - 1):
                continue
            for grid, (most, done) in before.items():
                if (found := self._in_patches(first, stop, grid)) is not None:
                    own = max(most, found.need_bytes)
                    need = max(after[stop], own)
                    if need < best or need == after[stop]:  # while the rest is the neediest, patches have yet to help
                        best, since = min(best, need), 0
                    least = sorted((*least, need))[:count]
                    yield PatchCut((*sums, (first, stop)), grid, own, need, done + found.macs + macs[stop], bool(sums))

    def _before(self, sums: Sequence[tuple[int, int]], first: int, grid: Grid) -> tuple[int, int] | None:
        """Return the bytes that the operators before one need where these stages are in patches, and their MACs; None
        if they cannot be.
        """
        alone = set(range(first)).difference(*(range(*stage) for stage in sums))
        most = max((self._single_needs[op] for op in alone), default=0)
        macs = sum(op_macs(self.graph, self.graph.ops[op]) for op in alone)
        for stage in sums:
            if (part := self._in_patches(*stage, grid)) is None:
                return None
            most, macs = max(most, part.need_bytes), macs + part.macs
        return most, macs

    def _in_patches(self, start: int, stop: int, grid: Grid) -> _PatchStage | None:
        if (found := self._patches.facts(stop, grid, start)) is None:
            return None
        whole = self._stages.whole_bytes(self._slots[start], self._slots[stop - 1])
        return _PatchStage(whole - found.saved_bytes + found.beside_bytes, found.macs)

    def _piece(self, start: int, stop: int, rows: int) -> Piece:
        key = start, stop, rows
        if key not in self._streamed:
            found = self._stages.facts(start, stop, rows)
            self._streamed[key] = Piece(start, stop, found.need_bytes, found.instructions, rows)
            if rows == 1:
                self._bounds[start, stop] = found.need_bytes
        return self._streamed[key]


def _ends_of_runs(flags: Sequence[bool]) -> list[int]:
    """Return for every place where the run of true flags from there on ends."""
    ends = [0] * len(flags)
    for at in reversed(range(len(flags))):
        followed = at + 1 < len(flags) and flags[at + 1]
        ends[at] = at if not flags[at] else ends[at + 1] if followed else at + 1
    return ends
