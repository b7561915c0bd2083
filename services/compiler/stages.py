"""The pieces that a network can be cut into, operator by operator or streamed: what each needs and what it costs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from services.compiler.ir.ops import DepthwiseConv2D, PullRows, Reshape
from services.compiler.ir.tensor import DType, TensorId
from services.compiler.layer_cost import Setting, layer_cost
from services.compiler.macs import op_macs
from services.compiler.memory.live_range import LiveRange
from services.compiler.memory.problem import BUFFER_ALIGN, aligned
from services.compiler.options import Core
from services.compiler.planned import Planned, StreamPlanner
from services.compiler.schedule.patches import Grid, Patches, can_patch, patches
from services.compiler.schedule.rows import is_row_wise
from services.compiler.schedule.schedule import BufferId, BufferKind
from services.compiler.schedule.staged import turn_scratch_bytes
from services.compiler.schedule.streaming import Stream
from services.compiler.stage_needs import StageNeeds

# Rows that an operator computes at a turn: more cost memory, fewer cost time.
_ROWS = (1, 2, 3, 4, 6, 8)
_PATIENCE = 12
# A pulled input is never held whole: a piece that would do so is beyond every limit.
BEYOND_BYTES = 1 << 40


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Operators [start, stop), streamed by so many rows or not; bytes of arena beside them, of rings alone, cost."""

    start: int
    stop: int
    need_bytes: int
    instructions: float
    rows: int | None = None
    rings_bytes: int = 0


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
        self._raised: dict[Piece, int] = {}
        self._singles = [self._single(op) for op in range(len(graph.ops))]
        self._single_needs = [piece.need_bytes for piece in self._singles]
        self._row_wise_until = _ends_of_runs([is_row_wise(graph, op) for op in graph.ops])
        self._heights = [graph.tensors[op.output].shape[1:2] or (1,) for op in graph.ops]
        self._streamed: dict[tuple[int, int, int], Piece] = {}

    def need_bytes(self, piece: Piece) -> int:
        """Return the arena that the piece needs, as far as is known."""
        return max(piece.need_bytes, self._raised.get(piece, 0))

    def raise_need(self, piece: Piece, need_bytes: int) -> None:
        """Note that a piece needed more, where its buffers were placed, than their sizes told."""
        self._raised[piece] = need_bytes
        if piece.rows is None:
            self._single_needs[piece.start] = self.need_bytes(piece)

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

    def streamed(self, start: int, limit_bytes: float, rows: int | None = None) -> Iterator[Piece]:
        """Yield the streamed pieces from an operator on that keep to the limit, with any rows a turn or so many.

        Only those with an operator that alone would need more: to stream the others gains nothing.
        """
        end = self._row_wise_until[start]
        needy = next((op for op in range(start, end) if self._single_needs[op] > limit_bytes), None)
        if needy is None:
            return
        for each in _ROWS if rows is None else (rows,):
            for stop in range(max(needy + 1, start + 2), end + 1):
                if each > 1 and each > self._most_rows(start, stop):
                    continue
                piece = self._piece(start, stop, each)
                if self.need_bytes(piece) <= limit_bytes:
                    yield piece
                if piece.rings_bytes > limit_bytes:
                    break

    def streamed_from(self, start: int) -> Iterator[Piece]:
        """Yield every streamed piece of two operators and more from one on, a row at a time."""
        yield from (self._piece(start, stop, 1) for stop in range(start + 2, self._row_wise_until[start] + 1))

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
        if self.graph.tensors[node.input].dtype is not DType.INT8:
            return 0  # no plane: a convolution straight from its input
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
        if key not in self._streamed:
            found = self._stages.facts(start, stop, rows)
            self._streamed[key] = Piece(start, stop, found.need_bytes, found.instructions, rows, found.rings_bytes)
        return self._streamed[key]

    def _most_rows(self, start: int, stop: int) -> int:
        return max(self._heights[start:stop])[0] // 2


def _ends_of_runs(flags: Sequence[bool]) -> list[int]:
    """Return for every place where the run of true flags from there on ends."""
    ends = [0] * len(flags)
    for at in reversed(range(len(flags))):
        followed = at + 1 < len(flags) and flags[at + 1]
        ends[at] = at if not flags[at] else ends[at + 1] if followed else at + 1
    return ends
