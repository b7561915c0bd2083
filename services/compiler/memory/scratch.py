"""Scratch grows into the room that the other buffers leave, and makes the arena a little larger where that pays."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import DepthwiseConv2D
from services.compiler.ir.tensor import DType
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.memory.arena import ArenaPlan
from services.compiler.memory.live_range import LiveRange
from services.compiler.memory.problem import BUFFER_ALIGN, aligned
from services.compiler.memory.report import Span, covered_bytes
from services.compiler.schedule import thumb2
from services.compiler.schedule.core_kernels import scratch_sizes
from services.compiler.schedule.per_layer import plane_bytes
from services.compiler.schedule.schedule import BufferId, Schedule

# how much larger an arena may become, if nothing else limits it, where kernels would wait for flash at every turn
_MORE_ARENA = 1 / 8


def enlarge_scratch(
    graph: Graph, schedule: Schedule, ranges: Sequence[LiveRange], plan: ArenaPlan, room_bytes: int | None = None
) -> Schedule:
    """Return the schedule with as much scratch as is wanted, or an arena of so many bytes (None: an eighth more) can
    give, for every step whose kernel would wait for flash too often and finds no hole that is large enough.
    """
    limit = int(plan.arena_bytes * (1 + _MORE_ARENA)) if room_bytes is None else room_bytes
    limit = limit // BUFFER_ALIGN * BUFFER_ALIGN
    sizes, live = {b.id: b.size_bytes for b in schedule.buffers}, _live(ranges)
    for index, step in enumerate(schedule.steps()):
        if step.scratch is None:
            continue
        op = graph.ops[step.op_index]
        wanted = thumb2.wanted_scratch(graph, op, step.extent)
        if wanted <= sizes[step.scratch]:
            continue
        taken = _taken(live[index], step.scratch, plan.offsets)
        if _largest_hole(taken, plan.arena_bytes)[1] >= wanted:
            continue
        room = limit - covered_bytes(taken)
        useful = thumb2.scratch_sizes(graph, op, step.extent)
        if affordable := bisect_right(useful, min(wanted, room)):
            sizes[step.scratch] = useful[affordable - 1]
    return _resized(schedule, sizes)


def grow_scratch(
    graph: Graph, schedule: Schedule, ranges: Sequence[LiveRange], plan: ArenaPlan, kernels: KernelSet
) -> tuple[Schedule, ArenaPlan]:
    """Return schedule and plan with every step's scratch in the largest hole of the arena, as large as is useful.

    Nothing else moves. More scratch never makes an overlap of output and input wrong: kernels read further ahead.
    """
    sizes = {b.id: b.size_bytes for b in schedule.buffers}
    offsets, live = dict(plan.offsets), _live(ranges)
    for index, step in enumerate(schedule.steps()):
        if step.scratch is None:
            continue
        useful = scratch_sizes(graph, graph.ops[step.op_index], kernels, step.extent)
        if sizes[step.scratch] not in useful or sizes[step.scratch] == useful[-1]:
            continue
        start, room = _largest_hole(_taken(live[index], step.scratch, offsets), plan.arena_bytes)
        fitting = bisect_right(useful, room)
        if fitting and useful[fitting - 1] > sizes[step.scratch]:
            sizes[step.scratch], offsets[step.scratch] = useful[fitting - 1], start
    return _resized(schedule, sizes), replace(plan, offsets=offsets)


def _resized(schedule: Schedule, sizes: Mapping[BufferId, int]) -> Schedule:
    """Return the schedule with buffers of these sizes; itself where it has them."""
    buffers = tuple(
        [b if b.size_bytes == sizes[b.id] else b._replace(size_bytes=sizes[b.id]) for b in schedule.buffers]
    )
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


def _largest_hole(taken: Sequence[Span], arena_bytes: int) -> tuple[int, int]:
    """Return start and size of the largest run of bytes that nothing takes; the lowest of equals."""
    found, size, low = 0, 0, 0
    for start, stop in (*sorted(taken), (arena_bytes, arena_bytes)):
        if start - low > size:
            found, size = low, start - low
        low = max(low, stop)
    return found, size


def _live(ranges: Sequence[LiveRange]) -> list[list[tuple[BufferId, int]]]:
    """Return for every step the buffers that live there, with the bytes that they take."""
    live: list[list[tuple[BufferId, int]]] = [[] for _ in range(max((r.last for r in ranges), default=0) + 1)]
    for r in ranges:
        takes = r.buffer, aligned(r.size_bytes)
        for at_step in live[r.first : r.last + 1]:
            at_step.append(takes)
    return live


def _taken(live: Sequence[tuple[BufferId, int]], scratch: BufferId, offsets: Mapping[BufferId, int]) -> list[Span]:
    """Return where the buffers lie that live during a step beside its scratch."""
    return [(start := offsets[b], start + size) for b, size in live if b != scratch]
