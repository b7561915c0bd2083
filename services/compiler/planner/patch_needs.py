"""What stages in patches need and compute, from parts that all such stages share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from services.compiler.ir.alone import Alone, alone, isolated
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import DepthwiseConv2D
from services.compiler.ir.tensor import DType
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.macs import op_macs
from services.compiler.memory.problem import BUFFER_ALIGN, aligned
from services.compiler.schedule.patch_spans import PartSpans, Spans
from services.compiler.schedule.patches import Grid
from services.compiler.schedule.row_run import FED
from services.compiler.schedule.staged import turn_scratch_bytes
from services.compiler.schedule.streaming import Streams

_REMEMBERED = 1 << 17


@dataclass(frozen=True, slots=True)
class PatchFacts:
    """Bytes of arena beside a patch's fullest operator but for whole tensors, bytes of the tensors that are whole no
    more, and the multiply-accumulates of all patches.
    """

    beside_bytes: int
    saved_bytes: int
    macs: int


class PatchNeeds:
    """Facts of patches of a network."""

    def __init__(self, graph: Graph, kernels: KernelSet, streams: Streams) -> None:
        self._graph, self._kernels, self._streams = graph, kernels, streams
        self._chains: dict[tuple[int, int, int, int], list[PartSpans]] = {}
        known = [alone(graph, op) for op in graph.ops]
        self._weighted = any(one is None for one in known)  # values of constants are not for other networks to remember
        self._ops = tuple(one or isolated(graph, op) for one, op in zip(known, graph.ops, strict=True))

    def facts(self, stop: int, grid: Grid, start: int = 0) -> PatchFacts | None:
        """Return the facts of operators [start, stop) in patches; None if what they make has fewer rows or columns."""
        beside = saved = macs = 0
        fed = (0, 0)  # rows and columns of the patch that the operators before a part leave for it
        facts = _part_facts.__wrapped__ if self._weighted else _part_facts
        down, across = self._chain(start, stop, 1, grid[0]), self._chain(start, stop, 2, grid[1])
        if not down or not across:
            return None
        for rows, columns in zip(down, across, strict=True):
            after = start + len(rows.longest)
            own = facts(self._ops[start:after], rows, columns, fed, self._kernels)
            beside, saved, macs = max(beside, own.beside_bytes), saved + own.saved_bytes, macs + own.macs
            start, fed = after, (rows.longest[-1], columns.longest[-1])
        return PatchFacts(beside, saved, macs)

    def _chain(self, first: int, stop: int, axis: int, patches: int) -> list[PartSpans]:
        """Return the parts of operators [first, stop) in so many patches along an axis; none if what they make has
        fewer rows or columns.
        """
        key = first, stop, axis, patches
        if key not in self._chains:
            self._chains[key] = self._parts(first, stop, axis, patches)
        return self._chains[key]

    def _parts(self, first: int, stop: int, axis: int, patches: int) -> list[PartSpans]:
        found: list[PartSpans] = []
        wanted: Spans | None = None
        at = stop
        while at > first:
            start = max(first, self._streams.joint(at) if found else self._streams.last_joint(stop))
            part = self._streams.spans(start, at, axis, patches, wanted)
            if any(self._size(start + n, axis) < patches for n in part.whole):
                return []
            found.append(part)
            at, wanted = start, part.wanted
        return found[::-1]

    def _size(self, op: int, axis: int) -> int:
        return self._graph.tensors[self._graph.ops[op].swept].shape[axis]


@lru_cache(maxsize=_REMEMBERED)
def _part_facts(
    ops: tuple[Alone, ...], rows: PartSpans, columns: PartSpans, fed: tuple[int, int], kernels: KernelSet
) -> PatchFacts:
    part = _Part(ops, rows, columns, fed)
    beside = [
        aligned(turn_scratch_bytes(one.graph, one.op, kernels, part.extent(n))) - part.in_place(n)
        for n, one in enumerate(ops)
    ]
    for t, (height, width) in part.patches.items():
        size = aligned(height * width * part.tensors[t].pixel_bytes)
        for n in range(max(0, t), part.lasts.get(t, len(ops) - 1) + 1):
            beside[n] += size
    saved = sum(aligned(part.tensors[t].size_bytes) for t in part.patches if t != FED)
    return PatchFacts(max(beside), saved, sum(part.macs(n) for n in range(len(ops))))


class _Part:
    """A part with its tensors by their numbers: those that are held as patches, and which operator reads them last."""

    def __init__(self, ops: tuple[Alone, ...], rows: PartSpans, columns: PartSpans, fed: tuple[int, int]) -> None:
        self.ops, self._rows, self._columns = ops, rows, columns
        self.tensors = {n: one.graph.tensors[one.op.output] for n, one in enumerate(ops)}
        self.lasts = {t: n for n, reads in enumerate(rows.reads) for t in reads}
        self.patches = {n: self.extent(n) for n in self.tensors if n not in rows.whole}
        if fed != (0, 0):
            reader = ops[self.lasts[FED]]
            held = [t for t in dict.fromkeys(reader.op.inputs) if not reader.graph.tensors[t].is_constant]
            self.tensors[FED] = reader.graph.tensors[held[rows.reads[self.lasts[FED]].index(FED)]]
            self.patches[FED] = fed

    def extent(self, n: int) -> tuple[int, int]:
        """Return the most rows and columns that an operator computes for a patch."""
        return self._rows.longest[n], self._columns.longest[n]

    def macs(self, n: int) -> int:
        """Return the multiply-accumulates of an operator for all patches."""
        _, height, width, _ = self.tensors[n].shape
        whole = op_macs(self.ops[n].graph, self.ops[n].op)
        return whole * (self._rows.total[n] * self._columns.total[n]) // (height * width)

    def in_place(self, n: int) -> int:
        """Return the bytes that a depthwise convolution's patch shares with the patch it uses up."""
        if not isinstance(self.ops[n].op, DepthwiseConv2D):
            return 0
        source = self._rows.reads[n][0]
        if self.lasts[source] != n or not self.patches.keys() >= {source, n}:
            return 0
        ends = self.tensors[source], self.tensors[n]
        if ends[0].dtype is not DType.INT8 or ends[0].shape[3] != ends[1].shape[3]:
            return 0  # without a plane: a convolution straight from its input
        pixels = min(height * width for height, width in (self.patches[source], self.patches[n]))
        return pixels * ends[0].shape[3] // BUFFER_ALIGN * BUFFER_ALIGN
