"""Offsets in the arena for buffers of given size and live range, with a proven lower bound.

Heuristics first; an exact solver only where they leave a gap. Deterministic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.compiler.memory.live_range import LiveRange
from services.compiler.memory.native import search, step_needs
from services.compiler.memory.overlap import OverlapRule
from services.compiler.memory.problem import BUFFER_ALIGN
from services.compiler.schedule.schedule import BufferId


@dataclass(frozen=True, slots=True)
class ArenaPlan:
    """Where every buffer lies; no arena can be smaller than `lower_bound_bytes`."""

    offsets: Mapping[BufferId, int]
    arena_bytes: int
    lower_bound_bytes: int
    algorithm: str

    @property
    def gap_bytes(self) -> int:
        """How much a better plan could save at most."""
        return self.arena_bytes - self.lower_bound_bytes


def plan_arena(
    ranges: Sequence[LiveRange], rules: Sequence[OverlapRule], *, exact: bool = True, enough_bytes: int = 0
) -> ArenaPlan:
    """Return the smallest plan found, or the first that takes no more than `enough_bytes`; offsets are multiples of
    `BUFFER_ALIGN`.

    Without `exact` a gap that the heuristics leave stays.
    """
    found = search(ranges, rules, enough_bytes // BUFFER_ALIGN)
    if exact and found.extent > found.bound:
        from services.compiler.memory.exact import solve  # loads a native library that most plans do not need

        found = solve(ranges, rules, found)
    offsets = {r.buffer: offset * BUFFER_ALIGN for r, offset in zip(ranges, found.offsets, strict=True)}
    return ArenaPlan(offsets, found.extent * BUFFER_ALIGN, found.bound * BUFFER_ALIGN, found.algorithm)


def lower_bound_bytes(ranges: Sequence[LiveRange], rules: Sequence[OverlapRule]) -> int:
    """Return the arena that the fullest step needs, whatever the other steps do."""
    return max(step_needs(ranges, rules)) * BUFFER_ALIGN
