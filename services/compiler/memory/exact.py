"""Exact placement as a mixed-integer program: offsets, and for every two buffers that live together who lies below.

Only the buffers that are hard to place go to the solver (HiGHS): one that finds a hole whatever the others do is
placed afterwards. One thread, a fixed seed and a limit of nodes instead of time: the same result everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, isfinite

import highspy
import numpy as np
from highspy._core import _Highs

from services.compiler.memory.live_range import LiveRange
from services.compiler.memory.native import Placement, hard_groups, with_easy_placed
from services.compiler.memory.overlap import OverlapRule
from services.compiler.memory.problem import Pair, Problem
from services.compiler.schedule.schedule import BufferId

_MAX_NODES = 2000
_MAX_PAIRS = 400
_INTEGRAL = 1e-6


def solve(ranges: Sequence[LiveRange], rules: Sequence[OverlapRule], found: Placement) -> Placement:
    """Return a placement and a bound on the extent, each at least as good as those given."""
    problem, groups = Problem.of(ranges, rules), hard_groups(ranges, rules, found.bound)
    bound, known = found.bound, {r.buffer: offset for r, offset in zip(ranges, found.offsets, strict=True)}
    offsets = dict(known)
    for number in range(max(groups, default=-1) + 1):
        members = [r for r, group in zip(ranges, groups, strict=True) if group == number]
        part = problem.part([r.buffer for r in sorted(members, key=lambda r: (r.first, r.buffer))])
        lower, placed = _solved(part, bound, {b: known[b] for b in part.sizes})
        bound = max(bound, lower)
        offsets |= placed
    better = with_easy_placed(ranges, rules, found.bound, [offsets[r.buffer] for r in ranges])
    extent = problem.extent(dict(zip(problem.sizes, better, strict=True)))
    if extent < found.extent:
        return Placement("exact", better, extent, bound)
    proved = ", proved exactly" if found.extent == bound else ""
    return replace(found, algorithm=f"{found.algorithm}{proved}", bound=bound)


def _solved(problem: Problem, bound: int, known: Mapping[BufferId, int]) -> tuple[int, Mapping[BufferId, int]]:
    """Return the solver's bound and offsets; the known ones where it finds none better."""
    limit = problem.extent(known)
    if limit <= bound or sum(1 for _ in problem.pairs()) > _MAX_PAIRS:
        return bound, known
    program = _Program.silent()
    extent = program.variable(bound, limit)
    at = {b: program.variable(0, limit - size) for b, size in problem.sizes.items()}
    for buffer, size in problem.sizes.items():
        program.at_least({extent: 1, at[buffer]: -1}, size)
    for pair in problem.pairs():
        _add_pair(program, problem, at, pair, limit)
    lower, values = program.minimize(extent)
    bound = max(bound, lower)
    offsets = {b: round(values[v]) for b, v in at.items()} if values else known
    is_better = problem.extent(offsets) < limit and problem.allows(offsets)
    return bound, offsets if is_better else known


def _add_pair(program: _Program, problem: Problem, at: Mapping[BufferId, int], pair: Pair, limit: int) -> None:
    """Let the second lie below the first, above it, or over it by a multiple of a step."""
    first, second = at[pair[0]], at[pair[1]]
    first_size, second_size = problem.sizes[pair[0]], problem.sizes[pair[1]]
    shift = problem.shifts.get(pair)
    below, above = program.variable(0, 1, integer=True), program.variable(0, 1, integer=True)
    least = second_size if shift is None or shift.step > 1 else min(second_size, shift.least)
    program.at_least({first: 1, second: -1, below: -(limit + least)}, -limit)
    program.at_least({second: 1, first: -1, above: -(limit + first_size)}, -limit)
    if shift is None or shift.step == 1:
        program.at_least({below: 1, above: 1}, 1)
        return
    lowest, highest = max(shift.least, -first_size) // shift.step, second_size // shift.step
    over, steps = program.variable(0, 1, integer=True), program.variable(lowest, max(lowest, highest), integer=True)
    program.at_least({below: 1, above: 1, over: 1}, 1)
    slack = limit + shift.step * max(abs(lowest), abs(highest))
    program.at_least({first: 1, second: -1, steps: -shift.step, over: -slack}, -slack)
    program.at_least({first: -1, second: 1, steps: shift.step, over: -slack}, -slack)


@dataclass(frozen=True, slots=True)
class _Program:
    """A mixed-integer program under construction. The plain class of the bindings: the other one prints a banner."""

    model: _Highs

    @classmethod
    def silent(cls) -> _Program:
        """Return an empty program; its first option turns output off, before anything is said."""
        model = _Highs()
        for option, value in _OPTIONS:
            model.setOptionValue(option, value)
        return cls(model)

    def variable(self, low: int, high: int, *, integer: bool = False) -> int:
        column = int(self.model.getNumCol())
        self.model.addVar(low, high)
        if integer:
            self.model.changeColIntegrality(column, highspy.HighsVarType.kInteger)
        return column

    def at_least(self, terms: Mapping[int, int], bound: int) -> None:
        columns = np.fromiter(terms.keys(), dtype=np.int32)
        self.model.addRow(bound, highspy.kHighsInf, len(terms), columns, np.fromiter(terms.values(), dtype=np.float64))

    def minimize(self, column: int) -> tuple[int, Sequence[float]]:
        """Return the proven bound of an integer objective, and the best solution found; empty if none was."""
        self.model.changeColCost(column, 1.0)
        self.model.run()
        solution = self.model.getSolution()
        bound = self.model.getInfo().mip_dual_bound
        return ceil(max(bound, 0.0) - _INTEGRAL) if isfinite(bound) else 0, (
            solution.col_value if solution.value_valid else ()
        )


_OPTIONS: tuple[tuple[str, bool | int | float], ...] = (
    ("output_flag", False),
    ("threads", 1),
    ("random_seed", 0),
    ("mip_max_nodes", _MAX_NODES),
    ("mip_rel_gap", 0.0),
    ("mip_abs_gap", 0.99),
)
