"""Schedules whose stages run in turns: the per-layer schedule with some operators streamed, or the first in patches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import DepthwiseConv2D, Op, RnnPool
from services.compiler.ir.planned_ops import PullRows
from services.compiler.ir.tensor import DType, TensorId
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.schedule.core_kernels import scratch_sizes
from services.compiler.schedule.patches import Patches
from services.compiler.schedule.per_layer import plane_bytes, pulled_scratch_bytes, rnn_pool_scratch_bytes
from services.compiler.schedule.row_turns import RowTurns
from services.compiler.schedule.schedule import (
    Buffer,
    BufferId,
    BufferKind,
    Chase,
    Life,
    Region,
    Schedule,
    Stage,
    StageKind,
    Step,
    Turn,
)
from services.compiler.schedule.streaming import Stream


def staged_schedule(graph: Graph, kernels: KernelSet, whole: Schedule, streams: Sequence[Stream]) -> Schedule:
    """Return the per-layer schedule with the operators of `streams`, in order and apart, streamed, all others not."""
    buffers = {b.id: b for b in whole.buffers}
    steps = {step.op_index: step for step in whole.steps()}
    return _with_stages(whole, buffers, _stages(graph, kernels, buffers, steps, streams))


def _stages(
    graph: Graph,
    kernels: KernelSet,
    buffers: dict[BufferId, Buffer],
    steps: Mapping[int, Step],
    streams: Sequence[Stream],
    *,
    at: int = 0,
) -> Sequence[Stage]:
    """Return the stages from operator `at` on."""
    of_tensor = {t: b.id for b in buffers.values() for t in b.tensors}
    stages: list[Stage] = []
    for found in streams:
        stages += _per_layer(steps, at, found.start)
        stages.append(_Streamed(graph, kernels, found, buffers, of_tensor).stage(steps))
        at = found.stop
    return *stages, *_per_layer(steps, at, len(graph.ops))


def patched_schedule(
    graph: Graph, kernels: KernelSet, whole: Schedule, patched: Sequence[Patches], streams: Sequence[Stream] = ()
) -> Schedule:
    """Return the per-layer schedule with some operators run patch by patch, and some of those behind them streamed."""
    buffers = {b.id: b for b in whole.buffers}
    of_tensor = {t: b.id for b in whole.buffers for t in b.tensors}
    steps = {step.op_index: step for step in whole.steps()}
    stages: list[Stage] = []
    at = 0
    for found in patched:
        for t, (rows, columns) in found.extents.items():
            size = rows * columns * graph.tensors[t].pixel_bytes
            old = buffers[of_tensor[t]]
            buffers[old.id] = old._replace(size_bytes=size, rows=rows, columns=columns)
        inside = [
            _with_scratch(graph, kernels, steps[found.start + n], found.extent(n), buffers)
            for n in range(found.stop - found.start)
        ]
        turns = tuple(Turn(n, region) for patch in found.regions for n, region in enumerate(patch))
        lives = tuple(Life(of_tensor[t], *found.life(graph, t)) for t in found.extents)
        stages += _per_layer(steps, at, found.start)
        stages.append(Stage(StageKind.PATCH, tuple(inside), turns, lives, grid=found.grid))
        at = found.stop
    return _with_stages(whole, buffers, (*stages, *_stages(graph, kernels, buffers, steps, streams, at=at)))


def _with_stages(whole: Schedule, buffers: Mapping[BufferId, Buffer], stages: Sequence[Stage]) -> Schedule:
    used = {b for stage in stages for s in stage.steps for b in (*s.reads, *s.writes, s.scratch)}
    kept = tuple(b for b in buffers.values() if b.id in used or b.kind is not BufferKind.SCRATCH)
    return replace(whole, buffers=kept, stages=tuple(stages))


def _with_scratch(
    graph: Graph, kernels: KernelSet, step: Step, extent: tuple[int, int], buffers: dict[BufferId, Buffer]
) -> Step:
    """Return the step with scratch for parts of its output, which replaces the scratch for all of it."""
    op = graph.ops[step.op_index]
    size = turn_scratch_bytes(graph, op, kernels, extent)
    if not size:
        return step._replace(scratch=None, extent=extent)
    number = step.scratch if step.scratch is not None else max(buffers) + 1
    buffers[number] = Buffer(number, f"scratch of {op.name}", BufferKind.SCRATCH, size)
    return step._replace(scratch=number, extent=extent)


def turn_scratch_bytes(graph: Graph, op: Op, kernels: KernelSet, extent: tuple[int, int]) -> int:
    """Return the scratch that an operator needs to compute so many rows and columns at a time."""
    if sizes := scratch_sizes(graph, op, kernels, extent):
        return sizes[0]
    match op:
        case DepthwiseConv2D() if graph.tensors[op.input].dtype is DType.INT8:
            return plane_bytes(graph, op, extent)
        case RnnPool():
            return rnn_pool_scratch_bytes(graph, op)
        case PullRows():
            return pulled_scratch_bytes(graph, op)
        case _:
            return 0


def _per_layer(steps: Mapping[int, Step], start: int, stop: int) -> Iterator[Stage]:
    found = tuple(steps[i] for i in range(start, stop) if i in steps)
    if found:
        yield Stage(StageKind.PER_LAYER, found)


@dataclass(frozen=True, slots=True)
class _Streamed:
    """One streamed stage being written; rings replace whole buffers in `buffers`."""

    graph: Graph
    kernels: KernelSet
    stream: Stream
    buffers: dict[BufferId, Buffer]
    of_tensor: Mapping[TensorId, BufferId]

    def stage(self, steps: Mapping[int, Step]) -> Stage:
        """Return the stage, its calls cut where a ring ends."""
        for t, rows in self.stream.rings.items():
            tensor, buffer = self.graph.tensors[t], self.buffers[self.of_tensor[t]]
            size = rows * (tensor.size_bytes // tensor.shape[1])
            kind = buffer.kind if buffer.kind is BufferKind.INPUT else BufferKind.LINE_BUFFER
            self.buffers[buffer.id] = buffer._replace(kind=kind, size_bytes=size, rows=rows)
        found = self.stream.found
        widths = tuple(self._columns(op) for op in self.graph.ops[self.stream.start : self.stream.stop])
        return Stage(
            StageKind.STREAMING,
            tuple(self._step(steps[self.stream.start + i], rows) for i, rows in enumerate(found.most_rows)),
            _turns(found, widths),
            tuple(Life(self.of_tensor[t], *life) for t, life in self.stream.lives.items()),
            tuple(
                Chase(self.of_tensor[source], self.of_tensor[target], behind)
                for (source, target), behind in self.stream.behind.items()
            ),
        )

    def _step(self, step: Step, rows: int) -> Step:
        # an operator of which no row is needed takes no turn, but its kernel is called like any other's
        extent = max(1, rows), self._columns(self.graph.ops[step.op_index])
        return _with_scratch(self.graph, self.kernels, step, extent, self.buffers)

    def _columns(self, op: Op) -> int:
        return self.graph.tensors[op.swept].shape[2]


@lru_cache(maxsize=1 << 14)
def _turns(found: RowTurns, widths: tuple[int, ...]) -> tuple[Turn, ...]:
    """Return the turns of a stage whose operators have so many columns."""
    return tuple(Turn(p.op, Region(p.row_start, p.row_stop, 0, widths[p.op])) for p in found.parts)
