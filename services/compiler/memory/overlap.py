"""Where a step's outputs may lie over its inputs: the kernels' orders of reads and writes, told of buffers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import DepthwiseConv2D, Op
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.schedule.access_order import Overlap, chunks_distance, overlaps
from services.compiler.schedule.core_kernels import chunk_rows
from services.compiler.schedule.schedule import Buffer, BufferId, Schedule, StageKind, Step


class OverlapRule(NamedTuple):
    """`target`, born `lasting` steps before the one where `source` dies, may share its bytes if it starts low enough.

    Allowed: source.offset - target.offset is at least `distance_bytes` and a multiple of `multiple_bytes`. Then the
    kernel never overwrites an input byte that it still has to read.
    """

    source: BufferId
    target: BufferId
    distance_bytes: int
    multiple_bytes: int = 1
    lasting: int = 0

    def allows(self, source_offset: int, target_offset: int) -> bool:
        """Whether the two may share bytes when placed at these offsets."""
        below = source_offset - target_offset
        return below >= self.distance_bytes and below % self.multiple_bytes == 0


class OverlapRules:
    """Finds the permitted overlaps of several schedules of a network; remembers those of steps that they share."""

    def __init__(self, graph: Graph, kernels: KernelSet) -> None:
        self._graph, self._kernels = graph, kernels
        # by operator and bytes of its scratch: what else a step without turns uses is the same in all schedules
        self._of_steps: dict[tuple[int, int], tuple[OverlapRule, ...]] = {}

    def of(self, schedule: Schedule) -> tuple[OverlapRule, ...]:
        """Return every permitted overlap; whether a source dies there is the planner's to check."""
        buffers = {b.id: b for b in schedule.buffers}
        found = [rule for step in schedule.steps() if step.extent is None for rule in self._of_step(step, buffers)]
        found += [
            OverlapRule(chase.source, chase.target, chase.behind_bytes, lasting=len(stage.steps) - 1)
            for stage in schedule.stages
            for chase in stage.chases
            if chase.behind_bytes < buffers[chase.target].size_bytes
        ]
        for stage in schedule.stages:
            if stage.kind is StageKind.PATCH:
                found += (rule for step in stage.steps for rule in self._of_patched(step, buffers))
        return tuple(found)

    def _of_patched(self, step: Step, buffers: dict[BufferId, Buffer]) -> Iterator[OverlapRule]:
        """Yield where a depthwise convolution's patch may lie: rows are whole pixels of the same channels, so a channel
        overwrites only itself, and what the plane holds of it is read before that.
        """
        op = self._graph.ops[step.op_index]
        if isinstance(op, DepthwiseConv2D) and step.scratch is not None:
            channels = [self._graph.tensors[t].shape[3] for t in (op.input, op.output)]
            source, target = buffers[step.reads[0]], buffers[step.writes[0]]
            if channels[0] == channels[1] and source.columns is not None and target.columns is not None:
                distance = self._chunks(op, step, source, target, buffers[step.scratch].size_bytes)
                if distance < target.size_bytes:
                    yield OverlapRule(source.id, target.id, distance, channels[0])

    def _chunks(self, op: DepthwiseConv2D, step: Step, source: Buffer, target: Buffer, scratch_bytes: int) -> int:
        rows = chunk_rows(self._graph, op, self._kernels, scratch_bytes, step.extent)
        held = [(b.rows or 0, b.columns or 0) for b in (source, target)]
        return -source.size_bytes if rows is None else chunks_distance(self._graph, op, rows, *held)

    def _of_step(self, step: Step, buffers: dict[BufferId, Buffer]) -> tuple[OverlapRule, ...]:
        key = step.op_index, 0 if step.scratch is None else buffers[step.scratch].size_bytes
        if (known := self._of_steps.get(key)) is None:
            op = self._graph.ops[step.op_index]
            known = self._of_steps[key] = _step_rules(self._graph, op, step, buffers, self._kernels)
        return known


def _step_rules(
    graph: Graph, op: Op, step: Step, buffers: dict[BufferId, Buffer], kernels: KernelSet
) -> tuple[OverlapRule, ...]:
    """Return a rule a pair of buffers; none for an input that the same step also reads in a way without a rule."""
    scratch_bytes = 0 if step.scratch is None else buffers[step.scratch].size_bytes
    lies = {t: b for b in (*step.reads, *step.writes) for t in buffers[b].tensors}
    allowed = overlaps(graph, op, kernels, scratch_bytes)
    joined: dict[tuple[BufferId, BufferId], Overlap] = {}
    for overlap in allowed:
        if (source := lies.get(overlap.source)) is not None:
            pair = source, lies[overlap.target]
            joined[pair] = _joined(joined[pair], overlap) if pair in joined else overlap
    rules = []
    for (source, target), overlap in joined.items():
        is_near = overlap.distance_bytes < buffers[target].size_bytes
        if is_near and _all_ruled(op, buffers[source], buffers[target], allowed):
            rules.append(OverlapRule(source, target, overlap.distance_bytes, overlap.multiple_bytes))
    return tuple(rules)


def _joined(one: Overlap, other: Overlap) -> Overlap:
    """Return what both of two overlaps allow, of tensors in the same buffers."""
    farthest = max(one.distance_bytes, other.distance_bytes)
    return Overlap(one.source, one.target, farthest, max(one.multiple_bytes, other.multiple_bytes))


def _all_ruled(op: Op, source: Buffer, target: Buffer, allowed: Sequence[Overlap]) -> bool:
    """Whether every tensor of the source that the operator reads may lie below one of the target."""
    if len(source.tensors) == 1:
        return True
    ruled = {o.source for o in allowed if o.target in target.tensors}
    return ruled.issuperset([t for t in op.inputs if t in source.tensors])
