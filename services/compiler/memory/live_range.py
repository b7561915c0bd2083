"""What the arena planner sees of a schedule: sizes and live ranges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from services.compiler.schedule.schedule import BufferId, Schedule, Stage


class LiveRange(NamedTuple):
    """A buffer is needed from step `first` to step `last`, both included. Made by the hundred for every plan."""

    buffer: BufferId
    size_bytes: int
    first: int
    last: int

    def overlaps(self, other: LiveRange) -> bool:
        """Whether both are live at some step."""
        return self.first <= other.last and other.first <= self.last


def live_ranges(schedule: Schedule) -> tuple[LiveRange, ...]:
    """Return the live range of every buffer of the schedule.

    The network's outputs are read after the last step, so they live one step longer than all others. Its inputs,
    and every buffer that is read before any step writes it, live from step 0. In a stage of turns, steps stand for
    operators, and a buffer that is used there lives through all of them unless the stage says otherwise.
    """
    first: dict[BufferId, int] = {}
    last: dict[BufferId, int] = {}
    after_end = 0
    for index, step in enumerate(schedule.steps()):
        for buffer in step.reads:
            if buffer not in first:
                first[buffer] = 0
            last[buffer] = index
        for buffer in step.buffers[len(step.reads) :]:
            if buffer not in first:
                first[buffer] = index
            last[buffer] = index
        after_end = index + 1
    start = 0
    for stage in schedule.stages:
        if stage.turns:
            _keep_through(stage, start, first, last)
        start += len(stage.steps)
    last.update(dict.fromkeys(schedule.outputs, after_end))
    return tuple([LiveRange(b.id, b.size_bytes, first.get(b.id, 0), last.get(b.id, 0)) for b in schedule.buffers])


def resized(ranges: Sequence[LiveRange], schedule: Schedule) -> tuple[LiveRange, ...]:
    """Return the ranges of a schedule that differs from theirs in the sizes of buffers only."""
    sizes = {b.id: b.size_bytes for b in schedule.buffers}
    return tuple(
        [
            r if r.size_bytes == sizes[r.buffer] else LiveRange(r.buffer, sizes[r.buffer], r.first, r.last)
            for r in ranges
        ]
    )


def _keep_through(stage: Stage, start: int, first: dict[BufferId, int], last: dict[BufferId, int]) -> None:
    """Widen the ranges of what lives through a stage of turns, set those of what the stage names."""
    named = {life.buffer: life for life in stage.lives}
    stop = start + len(stage.steps) - 1
    for buffer in {b for step in stage.steps for b in (*step.reads, *step.writes)}:
        life = named.get(buffer)
        if life is not None:
            first[buffer], last[buffer] = start + life.first, start + life.last
        else:
            first[buffer], last[buffer] = min(first[buffer], start), max(last[buffer], stop)
