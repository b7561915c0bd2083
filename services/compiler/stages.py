"""The pieces that a network can be cut into, operator by operator or streamed: what each needs and what it costs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf

from services.compiler.ir.ops import DepthwiseConv2D, PullRows, Reshape
from services.compiler.ir.tensor import TensorId
from services.compiler.layer_cost import InTurns, Setting, layer_cost
from services.compiler.macs import op_macs
from services.compiler.memory.live_range import LiveRange
from services.compiler.memory.problem import BUFFER_ALIGN, aligned
from services.compiler.options import Core
from services.compiler.planned import Planned, StreamPlanner
from services.compiler.schedule.patches import Grid, Patches, can_patch, patches
from services.compiler.schedule.rows import is_row_wise
from services.compiler.schedule.schedule import BufferId, BufferKind, StageKind
from services.compiler.schedule.staged import turn_scratch_bytes
from services.compiler.schedule.streaming import Stream, stream

# Rows that an operator computes at a turn: more cost memory, fewer cost time.
_ROWS = (1, 2, 3, 4, 6, 8)
_PATIENCE = 12
# A pulled input is never held whole: a piece that would do so is beyond every limit.
BEYOND_BYTES = 1 << 40


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Operators [start, stop), one after the other if `stream` is None; bytes of arena beside them, instructions."""

    start: int
    stop: int
    need_bytes: int
    instructions: float
    stream: Stream | None = None


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
        self._row_wise = [is_row_wise(graph, op) for op in graph.ops]
        self._raised: dict[Piece, int] = {}
        self._singles: dict[int, Piece] = {}
        self._streams: dict[tuple[int, int, int], Piece] = {}
        self._costs: dict[tuple[int, int], float] = {}
        self._scratches: dict[tuple[int, int], int] = {}

    def need_bytes(self, piece: Piece) -> int:
        """Return the arena that the piece needs, as far as is known."""
        return max(piece.need_bytes, self._raised.get(piece, 0))

    def raise_need(self, piece: Piece, need_bytes: int) -> None:
        """Note that a piece needed more, where its buffers were placed, than their sizes told."""
        self._raised[piece] = need_bytes

    def slots(self, piece: Piece) -> tuple[int, ...]:
        """Return the numbers of the piece's layers."""
        return tuple(self._slots[op] for op in range(piece.start, piece.stop) if op in self._slots)

    def single(self, op: int) -> Piece:
        """Return the piece of one operator that is not streamed."""
        if op not in self._singles:
            need, cost = 0, 0.0
            if not isinstance(self.graph.ops[op], Reshape):
                pulls = isinstance(self.graph.ops[op], PullRows)
                need = BEYOND_BYTES if pulls else self._needs[self._slots[op]]
                cost = self._whole_cost(op)
            self._singles[op] = Piece(op, op + 1, need, cost)
        return self._singles[op]

    def streamed(self, start: int, limit_bytes: float, rows: int | None = None) -> Iterator[Piece]:
        """Yield the streamed pieces from an operator on that keep to the limit, with any rows a turn or so many.

        Only those with an operator that alone would need more: to stream the others gains nothing.
        """
        for each in _ROWS if rows is None else (rows,):
            needs_help = False
            for stop in range(start + 1, len(self.graph.ops) + 1):
                if not self._row_wise[stop - 1]:
                    break
                needs_help |= self.need_bytes(self.single(stop - 1)) > limit_bytes
                if not needs_help or stop - start < 2 or (each > 1 and each > self._most_rows(start, stop)):
                    continue
                piece = self._piece(start, stop, each)
                if self.need_bytes(piece) <= limit_bytes:
                    yield piece
                if self._rings_bytes(piece) > limit_bytes:
                    break

    def streamed_from(self, start: int) -> Iterator[Piece]:
        """Yield every streamed piece of two operators and more from one on, a row at a time."""
        for stop in range(start + 1, len(self.graph.ops) + 1):
            if not self._row_wise[stop - 1]:
                break
            if stop - start > 1:
                yield self._piece(start, stop, 1)

    def patched(self, grids: Iterable[Grid]) -> Iterator[tuple[int, int, Patches]]:
        """Yield what patches at the beginning can be: bytes of arena that the network then needs, MACs, patches.

        Ends where so many operators more in patches did not help: the halo only grows.
        """
        best, since = inf, 0
        for stop in range(1, len(self.graph.ops) + 1):
            if not can_patch(self.graph, self.graph.ops[stop - 1]):
                break
            if stop == 1:
                continue
            if since == _PATIENCE:
                break
            since += 1
            after = max((self.need_bytes(self.single(op)) for op in range(stop, len(self.graph.ops))), default=0)
            for grid in grids:
                if (found := patches(self.graph, stop, grid)) is not None:
                    need = max(after, self.patches_need(found))
                    if need < best or need == after:  # while the rest is the neediest, patches have yet to help
                        best, since = min(best, need), 0
                    yield need, self._patches_macs(found), found

    def _patches_macs(self, found: Patches) -> int:
        macs = 0
        for op in range(found.stop):
            _, height, width, _ = self.graph.tensors[self.graph.ops[op].output].shape
            macs += op_macs(self.graph, self.graph.ops[op]) * found.computed(op) // (height * width)
        return macs + sum(op_macs(self.graph, op) for op in self.graph.ops[found.stop :])

    def patches_need(self, found: Patches) -> int:
        """Return what lives beside the fullest operator of a patch: patches, scratch, and whole tensors throughout."""
        beside = [0] * found.stop
        for t, (rows, columns) in found.extents.items():
            start, stop = found.life(self.graph, t)
            for step in range(start, stop + 1):
                beside[step] += aligned(rows * columns * self.graph.tensors[t].pixel_bytes)
        for op in range(found.stop):
            size = turn_scratch_bytes(self.graph, self.graph.ops[op], self.kernels, found.extent(op))
            beside[op] += aligned(size) - self._in_place(found, op)
        return self._whole(0, self._slots[found.stop - 1], found.extents) + max(beside)

    def _in_place(self, found: Patches, op: int) -> int:
        """Return the bytes that a depthwise convolution's patch shares with the patch it uses up."""
        node = self.graph.ops[op]
        if not isinstance(node, DepthwiseConv2D) or found.life(self.graph, node.input)[1] != op:
            return 0
        ends = node.input, node.output
        channels = {self.graph.tensors[t].shape[3] for t in ends}
        if len(channels) > 1 or not found.extents.keys() >= set(ends):
            return 0
        pixels = min(found.extents[t][0] * found.extents[t][1] for t in ends)
        return pixels * channels.pop() // BUFFER_ALIGN * BUFFER_ALIGN

    def _whole(self, first: int, last: int, inside: Collection[TensorId]) -> int:
        """Return the bytes of tensors that live at any of these steps but for those inside the stage."""
        own = {self._buffer[t] for t in inside}
        return sum(
            aligned(r.size_bytes)
            for b, r in self._ranges.items()
            if r.first <= last and r.last >= first and b not in own
        )

    def _piece(self, start: int, stop: int, rows: int) -> Piece:
        key = start, stop, rows
        if key not in self._streams:
            found = stream(self.graph, start, stop, rows)
            cost = sum(self._cost(op, rows) for op in range(start, stop))
            self._streams[key] = Piece(start, stop, self._need(found, rows), cost, found)
        return self._streams[key]

    def _most_rows(self, start: int, stop: int) -> int:
        return max(self.graph.tensors[op.output].shape[1] for op in self.graph.ops[start:stop]) // 2

    def _whole_cost(self, op: int) -> float:
        setting = Setting(self.kernels, self._core, self._whole_scratch[op])
        return layer_cost(self.graph, self.graph.ops[op], setting).instructions

    def _cost(self, op: int, rows: int) -> float:
        """Return the instructions of an operator that computes so many rows at a turn."""
        if (op, rows) not in self._costs:
            node = self.graph.ops[op]
            _, height, width, _ = self.graph.tensors[node.output].shape
            boxes = tuple(((at, min(at + rows, height)), (0, width)) for at in range(0, height, rows))
            turns = InTurns(StageKind.STREAMING, (min(rows, height), width), boxes)
            scratch_bytes = turn_scratch_bytes(self.graph, node, self.kernels, turns.extent)
            setting = Setting(self.kernels, self._core, scratch_bytes, turns)
            self._costs[op, rows] = layer_cost(self.graph, node, setting).instructions
        return self._costs[op, rows]

    def _rings_bytes(self, piece: Piece) -> int:
        if piece.stream is None:
            return 0
        return sum(rows * self._row_bytes(t) for t, rows in piece.stream.rings.items())

    def _row_bytes(self, tensor: int) -> int:
        found = self.graph.tensors[tensor]
        return found.size_bytes // found.shape[1]

    def _need(self, found: Stream, rows: int) -> int:
        """Return what lives beside the fullest operator of the stage: rings, scratch, and whole tensors throughout."""
        first, last = self._slots[found.start], self._slots[found.stop - 1]
        whole = self._whole(first, last, found.rings)
        beside = [0] * (found.stop - found.start)
        for t, (start, stop) in found.lives.items():
            size = aligned(found.rings[t] * self._row_bytes(t))
            for step in range(start, stop + 1):
                beside[step] += size
        for step, op in enumerate(self.graph.ops[found.start : found.stop]):
            beside[step] += self._scratch(found.start + step, min(rows, self.graph.tensors[op.output].shape[1]))
        return whole - self._shared(found, last) + max(beside)

    def _scratch(self, op: int, rows: int) -> int:
        if (op, rows) not in self._scratches:
            extent = rows, self.graph.tensors[self.graph.ops[op].output].shape[2]
            size = turn_scratch_bytes(self.graph, self.graph.ops[op], self.kernels, extent)
            self._scratches[op, rows] = aligned(size)
        return self._scratches[op, rows]

    def _shared(self, found: Stream, last: int) -> int:
        """Return the bytes that a whole output may share with an input that the stage uses up."""
        shared = 0
        for (source, target), behind in found.behind.items():
            used_up = self._ranges.get(self._buffer[source])
            size = self._ranges[self._buffer[target]].size_bytes
            if used_up is not None and used_up.last <= last:
                shared = max(shared, min(used_up.size_bytes, size, size - behind) // BUFFER_ALIGN * BUFFER_ALIGN)
        return shared
