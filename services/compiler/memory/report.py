"""Where the arena's bytes go at each step, and at the step that needs most."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.compiler.memory.arena import ArenaPlan
from services.compiler.memory.live_range import LiveRange
from services.compiler.schedule.schedule import BufferKind, Schedule

Span = tuple[int, int]  # start and stop, in bytes of the arena


@dataclass(frozen=True, slots=True)
class ArenaSplit:
    """The arena at its peak step, in bytes; the four parts add up to `arena`.

    A byte that an output shares with the input it replaces counts once, as the input's kind. Bytes of holes that
    the planner could not avoid count as activations.
    """

    input: int
    activations: int
    line_buffers: int
    scratch: int

    @property
    def arena(self) -> int:
        """The whole arena."""
        return self.input + self.activations + self.line_buffers + self.scratch


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """The split at the peak step, that step's number, and the bytes in use at every step."""

    split: ArenaSplit
    peak_step: int
    live_bytes: tuple[int, ...]


def memory_report(schedule: Schedule, ranges: Sequence[LiveRange], plan: ArenaPlan) -> MemoryReport:
    """Return how the planned arena is used over the schedule's steps."""
    spans: list[list[Span]] = [[] for _ in range(max(1, sum(len(stage.steps) for stage in schedule.stages)))]
    for r in ranges:
        start = plan.offsets[r.buffer]
        span = start, start + r.size_bytes
        for at_step in spans[r.first : r.last + 1]:
            at_step.append(span)
    live = tuple([covered_bytes(at_step) for at_step in spans])
    peak = live.index(max(live))
    use = _bytes_by_kind(schedule, [r for r in ranges if r.first <= peak <= r.last], plan)
    holes = plan.arena_bytes - live[peak]
    split = ArenaSplit(
        use[BufferKind.INPUT],
        use[BufferKind.ACTIVATION] + holes,
        use[BufferKind.LINE_BUFFER],
        use[BufferKind.SCRATCH],
    )
    return MemoryReport(split, peak, live)


def covered_bytes(spans: Iterable[Span]) -> int:
    """Return how many bytes lie in one of the spans or several."""
    total = low = 0
    for start, stop in sorted(spans):
        if stop > low:
            total += stop - max(start, low)
            low = stop
    return total


_PRIORITY = (BufferKind.INPUT, BufferKind.ACTIVATION, BufferKind.LINE_BUFFER, BufferKind.SCRATCH)


def _bytes_by_kind(schedule: Schedule, live: Sequence[LiveRange], plan: ArenaPlan) -> dict[BufferKind, int]:
    """Return how many bytes each kind covers at a step, counting every byte once."""
    kinds = {b.id: _PRIORITY.index(b.kind) for b in schedule.buffers}
    spans = [(start := plan.offsets[r.buffer], start + r.size_bytes, kinds[r.buffer]) for r in live]
    edges = sorted({edge for start, stop, _ in spans for edge in (start, stop)})
    use = dict.fromkeys(_PRIORITY, 0)
    for low, high in itertools.pairwise(edges):
        covering = [kind for start, stop, kind in spans if start <= low and high <= stop]
        if covering:
            use[_PRIORITY[min(covering)]] += high - low
    return use
