"""What the arena planner sees of a schedule: sizes and live ranges."""

from __future__ import annotations

from dataclasses import dataclass

from services.compiler.schedule.schedule import BufferId, Schedule


@dataclass(frozen=True, slots=True)
class LiveRange:
    """A buffer is needed from step `first` to step `last`, both included."""

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
    and every buffer that is read before any step writes it, live from step 0.
    """
    steps = list(schedule.steps())
    first: dict[BufferId, int] = {}
    last: dict[BufferId, int] = {}
    for index, step in enumerate(steps):
        scratch = () if step.scratch is None else (step.scratch,)
        for buffer in step.reads:
            first.setdefault(buffer, 0)
            last[buffer] = index
        for buffer in (*step.writes, *scratch):
            first.setdefault(buffer, index)
            last[buffer] = max(index, last.get(buffer, index))
    after_end = len(steps)
    kept = set(schedule.outputs)
    return tuple(
        LiveRange(b.id, b.size_bytes, first.get(b.id, 0), after_end if b.id in kept else last.get(b.id, 0))
        for b in schedule.buffers
    )
