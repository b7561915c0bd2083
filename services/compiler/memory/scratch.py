"""Scratch grows into the room that the other buffers leave, and makes the arena a little larger where that pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import DepthwiseConv2D
from services.compiler.ir.tensor import DType
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.memory.arena import ArenaPlan
from services.compiler.memory.live_range import LiveRange, by_step
from services.compiler.memory.problem import BUFFER_ALIGN, aligned
from services.compiler.schedule import thumb2
from services.compiler.schedule.core_kernels import scratch_sizes
from services.compiler.schedule.per_layer import plane_bytes
from services.compiler.schedule.schedule import BufferId, Schedule, Step

# how much larger an arena may become where kernels would wait for flash at every turn
_MORE_ARENA = 1 / 8


def enlarge_scratch(graph: Graph, schedule: Schedule, ranges: Sequence[LiveRange], plan: ArenaPlan) -> Schedule:
    """Return the schedule with as much scratch as is wanted, or an arena an eighth larger can give, for every step
    whose kernel would wait for flash too often and finds no hole that is large enough.
    """
    limit = int(plan.arena_bytes * (1 + _MORE_ARENA)) // BUFFER_ALIGN * BUFFER_ALIGN
    sizes, live = {b.id: b.size_bytes for b in schedule.buffers}, by_step(ranges)
    for index, step in enumerate(schedule.steps()):
        op = graph.ops[step.op_index]
        wanted = thumb2.wanted_scratch(graph, op)
        if step.scratch is None or _largest_hole(live[index], step, index, plan.offsets, plan.arena_bytes)[1] >= wanted:
            continue
        room = limit - sum(stop - start for start, stop in _covered(_taken(live[index], step, index, plan.offsets)))
        affordable = (size for size in thumb2.scratch_sizes(graph, op) if size <= min(wanted, room))
        sizes[step.scratch] = max(affordable, default=sizes[step.scratch])
    return _resized(schedule, sizes)


def grow_scratch(
    graph: Graph, schedule: Schedule, ranges: Sequence[LiveRange], plan: ArenaPlan, kernels: KernelSet
) -> tuple[Schedule, ArenaPlan]:
    """Return schedule and plan with every step's scratch in the largest hole of the arena, as large as is useful.

    Nothing else moves. More scratch never makes an overlap of output and input wrong: kernels read further ahead.
    """
    sizes = {b.id: b.size_bytes for b in schedule.buffers}
    offsets, live = dict(plan.offsets), by_step(ranges)
    for index, step in enumerate(schedule.steps()):
        useful = scratch_sizes(graph, graph.ops[step.op_index], kernels, step.extent)
        if step.scratch is None or sizes[step.scratch] not in useful:
            continue
        start, room = _largest_hole(live[index], step, index, offsets, plan.arena_bytes)
        largest = max((size for size in useful if size <= room), default=0)
        if largest > sizes[step.scratch]:
            sizes[step.scratch], offsets[step.scratch] = largest, start
    return _resized(schedule, sizes), replace(plan, offsets=offsets)


def _resized(schedule: Schedule, sizes: Mapping[BufferId, int]) -> Schedule:
    """Return the schedule with buffers of these sizes; itself where it has them."""
    buffers = tuple(b if b.size_bytes == sizes[b.id] else replace(b, size_bytes=sizes[b.id]) for b in schedule.buffers)
    return schedule if buffers == schedule.buffers else replace(schedule, buffers=buffers)


def affordable_planes(
    graph: Graph, schedule: Schedule, ranges: Sequence[LiveRange], arena_bytes: int
) -> frozenset[int]:
    """Return the depthwise convolutions without scratch beside whose buffers the arena has room for a plane."""
    found = []
    for index, step in enumerate(schedule.steps()):
        op = graph.ops[step.op_index]
        if not isinstance(op, DepthwiseConv2D) or not _has_plane(graph, op):
            continue
        if step.scratch is not None or step.extent is not None:
            continue
        live = sum(aligned(r.size_bytes) for r in ranges if r.first <= index <= r.last)
        dying = [r.size_bytes for r in ranges if r.buffer in step.reads and r.last == index]
        shared = min(dying[0], graph.tensors[op.output].size_bytes) if dying and _keeps_channels(graph, op) else 0
        if live - shared + plane_bytes(graph, op) <= arena_bytes:
            found.append(step.op_index)
    return frozenset(found)


def _has_plane(graph: Graph, op: DepthwiseConv2D) -> bool:
    """Whether there is a kernel that goes through a plane: int16 has none."""
    return graph.tensors[op.input].dtype is DType.INT8


def _keeps_channels(graph: Graph, op: DepthwiseConv2D) -> bool:
    return graph.tensors[op.input].shape[3] == graph.tensors[op.output].shape[3]


def _largest_hole(
    ranges: Sequence[LiveRange], step: Step, index: int, offsets: Mapping[BufferId, int], arena_bytes: int
) -> tuple[int, int]:
    """Return start and size of the largest run of bytes that only the step's scratch may use; the lowest of equals."""
    best, low = (0, 0), 0
    for start, stop in (*_covered(_taken(ranges, step, index, offsets)), (arena_bytes, arena_bytes)):
        if start - low > best[1]:
            best = low, start - low
        low = stop
    return best


def _taken(
    ranges: Sequence[LiveRange], step: Step, index: int, offsets: Mapping[BufferId, int]
) -> list[tuple[int, int]]:
    """Return where the buffers lie that live during the step beside its scratch."""
    live = (r for r in ranges if r.first <= index <= r.last and r.buffer != step.scratch)
    return [(offsets[r.buffer], aligned(offsets[r.buffer] + r.size_bytes)) for r in live]


def _covered(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the spans' union, upwards."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], stop)
        else:
            merged.append((start, stop))
    return merged
