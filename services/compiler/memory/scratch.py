"""Scratch grows into the room that the other buffers leave, and never makes the arena larger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import DepthwiseConv2D
from services.compiler.memory.arena import ArenaPlan
from services.compiler.memory.live_range import LiveRange
from services.compiler.memory.problem import aligned
from services.compiler.schedule.per_layer import plane_bytes
from services.compiler.schedule.schedule import BufferId, Schedule, Step
from services.compiler.schedule.thumb2 import scratch_sizes


def grow_scratch(
    graph: Graph, schedule: Schedule, ranges: Sequence[LiveRange], plan: ArenaPlan
) -> tuple[Schedule, ArenaPlan]:
    """Return schedule and plan with every step's scratch in the largest hole of the arena, as large as is useful.

    Nothing else moves. More scratch never makes an overlap of output and input wrong: kernels read further ahead.
    """
    sizes = {b.id: b.size_bytes for b in schedule.buffers}
    offsets = dict(plan.offsets)
    for index, step in enumerate(schedule.steps()):
        useful = scratch_sizes(graph, graph.ops[step.op_index])
        if step.scratch is None or len(useful) < 2 or sizes[step.scratch] != useful[0]:
            continue
        start, room = _largest_hole(ranges, step, index, offsets, plan.arena_bytes)
        largest = max((size for size in useful if size <= room), default=0)
        if largest > sizes[step.scratch]:
            sizes[step.scratch], offsets[step.scratch] = largest, start
    buffers = tuple(replace(b, size_bytes=sizes[b.id]) for b in schedule.buffers)
    return replace(schedule, buffers=buffers), replace(plan, offsets=offsets)


def affordable_planes(
    graph: Graph, schedule: Schedule, ranges: Sequence[LiveRange], arena_bytes: int
) -> frozenset[int]:
    """Return the depthwise convolutions without scratch beside whose buffers the arena has room for a plane."""
    found = []
    for index, step in enumerate(schedule.steps()):
        op = graph.ops[step.op_index]
        if not isinstance(op, DepthwiseConv2D) or step.scratch is not None:
            continue
        live = sum(aligned(r.size_bytes) for r in ranges if r.first <= index <= r.last)
        dying = [r.size_bytes for r in ranges if r.buffer in step.reads and r.last == index]
        shared = min(dying[0], graph.tensors[op.output].size_bytes) if dying and _keeps_channels(graph, op) else 0
        if live - shared + plane_bytes(graph, op) <= arena_bytes:
            found.append(step.op_index)
    return frozenset(found)


def _keeps_channels(graph: Graph, op: DepthwiseConv2D) -> bool:
    return graph.tensors[op.input].shape[3] == graph.tensors[op.output].shape[3]


def _largest_hole(
    ranges: Sequence[LiveRange], step: Step, index: int, offsets: Mapping[BufferId, int], arena_bytes: int
) -> tuple[int, int]:
    """Return start and size of the largest run of bytes that only the step's scratch may use; the lowest of equals."""
    live = [r for r in ranges if r.first <= index <= r.last and r.buffer != step.scratch]
    taken = sorted((offsets[r.buffer], offsets[r.buffer] + r.size_bytes) for r in live)
    best, low = (0, 0), 0
    for start, stop in (*taken, (arena_bytes, arena_bytes)):
        if start - low > best[1]:
            best = low, start - low
        low = max(low, aligned(stop))
    return best
