"""What the arena planner sees: sizes, live ranges and which buffers may overlap how far."""

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


@dataclass(frozen=True, slots=True)
class OverlapRule:
    """`target`, born at the step where `source` dies, may share its bytes if it starts low enough.

    Allowed offsets: target.offset <= source.offset - distance_bytes. Then the kernel, which reads and writes
    upwards, never overwrites an input byte that it still has to read (vMCU, MLSys 2024). In place is distance 0.
    """

    source: BufferId
    target: BufferId
    distance_bytes: int


def live_ranges(schedule: Schedule, kept: frozenset[BufferId]) -> tuple[LiveRange, ...]:
    """Return the live range of every buffer of the schedule.

    `kept` buffers (the network's outputs) live to the last step; a buffer that is read before any step writes
    it (the network's inputs) lives from step 0.
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
    end = max(len(steps) - 1, 0)
    return tuple(
        LiveRange(b.id, b.size_bytes, first.get(b.id, 0), end if b.id in kept else last.get(b.id, end))
        for b in schedule.buffers
    )
