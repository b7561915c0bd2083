"""Offsets in the arena for buffers of given size and live range, with a proven lower bound.

Heuristics first; an exact solver only where they leave a gap. Deterministic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.compiler.memory.bound import step_bound
from services.compiler.memory.live_range import LiveRange
from services.compiler.memory.overlap import OverlapRule
from services.compiler.memory.problem import BUFFER_ALIGN, Problem
from services.compiler.memory.search import search
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
    problem = Problem.of(ranges, rules)
    bound = step_bound(problem)
    found = search(problem, max(bound, enough_bytes // BUFFER_ALIGN))
    if exact and found.extent > bound:
        from services.compiler.memory.exact import solve  # loads a native library that most plans do not need

        bound, found = solve(problem, bound, found)
    offsets = {buffer: offset * BUFFER_ALIGN for buffer, offset in found.offsets.items()}
    return ArenaPlan(offsets, found.extent * BUFFER_ALIGN, bound * BUFFER_ALIGN, found.algorithm)


def lower_bound_bytes(ranges: Sequence[LiveRange], rules: Sequence[OverlapRule]) -> int:
    """Return the arena that the fullest step needs, whatever the other steps do."""
    return step_bound(Problem.of(ranges, rules)) * BUFFER_ALIGN
