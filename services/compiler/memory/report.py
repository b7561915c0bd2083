"""Where the arena's bytes go at each step, and at the step that needs most."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from services.compiler.memory.arena import ArenaPlan
from services.compiler.memory.live_range import LiveRange
from services.compiler.schedule.schedule import BufferKind, Schedule


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
    steps = max(1, len(list(schedule.steps())))
    uses = [_bytes_by_kind(spans) for spans in _spans(schedule, ranges, plan, steps)]
    live = tuple(sum(use.values()) for use in uses)
    peak = live.index(max(live))
    use = uses[peak]
    holes = plan.arena_bytes - live[peak]
    split = ArenaSplit(
        use[BufferKind.INPUT],
        use[BufferKind.ACTIVATION] + holes,
        use[BufferKind.LINE_BUFFER],
        use[BufferKind.SCRATCH],
    )
    return MemoryReport(split, peak, live)


_PRIORITY = (BufferKind.INPUT, BufferKind.ACTIVATION, BufferKind.LINE_BUFFER, BufferKind.SCRATCH)


_Span = tuple[int, int, int]  # start, stop, place of the kind in _PRIORITY


def _spans(schedule: Schedule, ranges: Sequence[LiveRange], plan: ArenaPlan, steps: int) -> list[list[_Span]]:
    """Return for every step where the buffers lie that live there."""
    priority = {kind: place for place, kind in enumerate(_PRIORITY)}
    kinds = {b.id: priority[b.kind] for b in schedule.buffers}
    live: list[list[_Span]] = [[] for _ in range(steps)]
    for r in ranges:
        start = plan.offsets[r.buffer]
        for spans in live[r.first : r.last + 1]:
            spans.append((start, start + r.size_bytes, kinds[r.buffer]))
    return live


def _bytes_by_kind(spans: Sequence[_Span]) -> dict[BufferKind, int]:
    """Return how many bytes each kind covers at a step, counting every byte once."""
    edges = sorted({edge for start, stop, _ in spans for edge in (start, stop)})
    use = dict.fromkeys(_PRIORITY, 0)
    for low, high in itertools.pairwise(edges):
        covering = [kind for start, stop, kind in spans if start <= low and high <= stop]
        if covering:
            use[_PRIORITY[min(covering)]] += high - low
    return use
