"""Where a step's outputs may lie over its inputs: the kernels' orders of reads and writes, told of buffers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Op
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.schedule.access_order import Overlap, overlaps
from services.compiler.schedule.schedule import Buffer, BufferId, Schedule, Step


@dataclass(frozen=True, slots=True)
class OverlapRule:
    """`target`, born at the step where `source` dies, may share its bytes if it starts low enough.

    Allowed: source.offset - target.offset is at least `distance_bytes` and a multiple of `multiple_bytes`. Then the
    kernel never overwrites an input byte that it still has to read.
    """

    source: BufferId
    target: BufferId
    distance_bytes: int
    multiple_bytes: int = 1

    def allows(self, source_offset: int, target_offset: int) -> bool:
        """Whether the two may share bytes when placed at these offsets."""
        below = source_offset - target_offset
        return below >= self.distance_bytes and below % self.multiple_bytes == 0


def overlap_rules(graph: Graph, schedule: Schedule, kernels: KernelSet = KernelSet.PORTABLE) -> tuple[OverlapRule, ...]:
    """Return every permitted overlap of the schedule; whether a source dies there is the planner's to check."""
    buffers = {b.id: b for b in schedule.buffers}
    return tuple(
        rule
        for step in schedule.steps()
        if step.region is None
        for rule in _step_rules(graph, graph.ops[step.op_index], step, buffers, kernels)
    )


def _step_rules(
    graph: Graph, op: Op, step: Step, buffers: dict[BufferId, Buffer], kernels: KernelSet
) -> Iterator[OverlapRule]:
    """Yield a rule a pair of buffers; none for an input that the same step also reads in a way without a rule."""
    scratch_bytes = 0 if step.scratch is None else buffers[step.scratch].size_bytes
    allowed = overlaps(graph, op, kernels, scratch_bytes)
    for target in step.writes:
        written = [t for t in op.outputs if t in buffers[target].tensors]
        for source in step.reads:
            read = [t for t in op.inputs if t in buffers[source].tensors]
            found = [o for o in allowed if o.source in read and o.target in written]
            if {o.source for o in found} == set(read) and found:
                rule = _joined(source, target, found)
                if rule.distance_bytes < buffers[target].size_bytes:
                    yield rule


def _joined(source: BufferId, target: BufferId, found: list[Overlap]) -> OverlapRule:
    farthest = max(o.distance_bytes for o in found)
    return OverlapRule(source, target, farthest, max(o.multiple_bytes for o in found))
