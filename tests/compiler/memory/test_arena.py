"""The arena planner: what may share bytes, how good the plans are, that the bound is one."""

from __future__ import annotations

import itertools
import os

from hypothesis import given, settings
from hypothesis import strategies as st

from services.compiler.memory.arena import ArenaPlan, lower_bound_bytes, plan_arena
from services.compiler.memory.live_range import LiveRange
from services.compiler.memory.overlap import OverlapRule
from services.compiler.memory.problem import BUFFER_ALIGN, Problem

EXAMPLES = 60 * int(os.environ.get("TINYFARM_FUZZ_EXAMPLES", "1"))


def test_arena_reuses_space_of_dead_tensor() -> None:
    ranges = [LiveRange(0, 100, 0, 0), LiveRange(1, 60, 0, 1), LiveRange(2, 100, 1, 1)]
    plan = plan_arena(ranges, [])
    assert plan.arena_bytes == 160
    assert plan.offsets[0] == plan.offsets[2]


def test_arena_of_nothing_is_empty() -> None:
    assert plan_arena([], []).arena_bytes == 0


def test_sizes_are_rounded_to_the_alignment() -> None:
    plan = plan_arena([LiveRange(0, 1, 0, 1), LiveRange(1, 3, 0, 1)], [])
    assert plan.arena_bytes == 8
    assert set(plan.offsets.values()) == {0, 4}


def test_output_takes_the_place_of_its_input() -> None:
    ranges = [LiveRange(0, 64, 0, 1), LiveRange(1, 64, 1, 2)]
    plan = plan_arena(ranges, [OverlapRule(0, 1, 0)])
    assert (plan.arena_bytes, plan.lower_bound_bytes) == (64, 64)


def test_rule_does_not_hold_for_an_input_that_is_read_later() -> None:
    ranges = [LiveRange(0, 64, 0, 2), LiveRange(1, 64, 1, 2)]
    plan = plan_arena(ranges, [OverlapRule(0, 1, 0)])
    assert (plan.arena_bytes, plan.lower_bound_bytes) == (128, 128)


def test_widening_output_starts_below_its_input() -> None:
    ranges = [LiveRange(0, 100, 0, 1), LiveRange(1, 400, 1, 1)]
    plan = plan_arena(ranges, [OverlapRule(0, 1, 300)])
    assert plan.arena_bytes == 400
    assert plan.offsets[1] <= plan.offsets[0] - 300


def test_rule_by_channels_allows_multiples_only() -> None:
    rule = OverlapRule(0, 1, -24, multiple_bytes=12)
    assert [t for t in range(0, 60, 4) if rule.allows(24, t)] == [0, 12, 24, 36, 48]
    assert OverlapRule(0, 1, 0).allows(16, 12)


def test_output_by_channels_may_end_where_its_input_ends() -> None:
    """Buffer 2 takes the bottom, so the small output has to stay above it, in step with its input."""
    ranges = [LiveRange(0, 96, 0, 1), LiveRange(1, 40, 1, 3), LiveRange(2, 56, 2, 3), LiveRange(3, 8, 0, 0)]
    plan = plan_arena(ranges, [OverlapRule(0, 1, -96, multiple_bytes=8)])
    assert (plan.arena_bytes, plan.gap_bytes) == (104, 0)


def test_backtracking_closes_a_gap_that_greedy_leaves() -> None:
    lives = ((400, 2, 3), (400, 3, 4), (200, 0, 1), (500, 4, 5), (400, 3, 3), (500, 1, 1))
    plan = plan_arena([LiveRange(i, *life) for i, life in enumerate(lives)], [])
    assert (plan.arena_bytes, plan.gap_bytes) == (1200, 0)
    assert plan.algorithm == "in time"


def check_plan(ranges: list[LiveRange], rules: list[OverlapRule], plan: ArenaPlan) -> None:
    by_pair = {(r.source, r.target): r for r in rules}
    for a, b in itertools.combinations(ranges, 2):
        a_start, b_start = plan.offsets[a.buffer], plan.offsets[b.buffer]
        apart = a_start + a.size_bytes <= b_start or b_start + b.size_bytes <= a_start
        if apart or not a.overlaps(b):
            continue
        source, target = (a, b) if (a.buffer, b.buffer) in by_pair else (b, a)
        rule = by_pair[source.buffer, target.buffer]
        assert source.last == target.first, "a source that lives on was overwritten"
        assert rule.allows(plan.offsets[source.buffer], plan.offsets[target.buffer])
    assert all(o % BUFFER_ALIGN == 0 for o in plan.offsets.values())
    assert max(plan.offsets[r.buffer] + r.size_bytes for r in ranges) <= plan.arena_bytes
    assert plan.lower_bound_bytes <= plan.arena_bytes
    assert plan.lower_bound_bytes >= lower_bound_bytes(ranges, rules)


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[LiveRange], list[OverlapRule]]:
    count = draw(st.integers(1, 14))
    ranges = []
    for buffer in range(count):
        first = draw(st.integers(0, 10))
        ranges.append(LiveRange(buffer, draw(st.integers(1, 300)), first, first + draw(st.integers(0, 4))))
    pairs = [
        (a.buffer, b.buffer) for a, b in itertools.permutations(ranges, 2) if a.last == b.first and a.first < b.first
    ]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=6)) if pairs else []
    rules = [OverlapRule(a, b, draw(st.integers(-60, 80)), draw(st.sampled_from([1, 1, 2, 3, 8]))) for a, b in chosen]
    return ranges, rules


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(problems())
def test_no_two_live_buffers_share_bytes_against_the_rules(
    problem: tuple[list[LiveRange], list[OverlapRule]],
) -> None:
    ranges, rules = problem
    check_plan(ranges, rules, plan_arena(ranges, rules))


@settings(max_examples=EXAMPLES // 3, deadline=None, derandomize=True)
@given(problems())
def test_without_rules_the_bound_is_the_largest_live_sum(problem: tuple[list[LiveRange], list[OverlapRule]]) -> None:
    ranges, _ = problem
    steps = range(max(r.last for r in ranges) + 1)
    live = (sum(-(-r.size_bytes // 4) * 4 for r in ranges if r.first <= step <= r.last) for step in steps)
    assert lower_bound_bytes(ranges, []) == max(live)


def fits_in(problem: Problem, order: list[int], extent: int, offsets: dict[int, int]) -> bool:
    """Try every offset of every buffer."""
    if not order:
        return True
    buffer, *rest = order
    return any(
        fits_in(problem, rest, extent, {**offsets, buffer: at})
        for at in range(extent - problem.sizes[buffer] + 1)
        if problem.allows({**offsets, buffer: at})
    )


@st.composite
def tiny_problems(draw: st.DrawFn) -> tuple[list[LiveRange], list[OverlapRule]]:
    """A chain of layers with something beside it, in few units, most with rules."""
    count = draw(st.integers(2, 4))
    ranges = [LiveRange(i, draw(st.integers(1, 24)), i, i + 1) for i in range(count)]
    for beside in range(draw(st.integers(0, 2))):
        first = draw(st.integers(0, count))
        ranges.append(LiveRange(count + beside, draw(st.integers(1, 20)), first, first + draw(st.integers(0, 2))))
    rules = [
        OverlapRule(i, i + 1, draw(st.integers(-24, 20)), draw(st.sampled_from([1, 1, 2, 8, 12])))
        for i in range(count - 1)
        if draw(st.integers(0, 4))
    ]
    return ranges, rules


@settings(max_examples=2 * EXAMPLES, deadline=None, derandomize=True)
@given(tiny_problems())
def test_arena_without_a_gap_is_the_smallest_that_brute_force_finds(
    problem: tuple[list[LiveRange], list[OverlapRule]],
) -> None:
    ranges, rules = problem
    plan = plan_arena(ranges, rules)
    check_plan(ranges, rules, plan)
    assert plan.gap_bytes == 0
    whole = Problem.of(ranges, rules)
    assert not fits_in(whole, [r.buffer for r in ranges], plan.arena_bytes // BUFFER_ALIGN - 1, {})


def test_solver_finds_what_no_lowest_or_highest_placement_does() -> None:
    """Outputs must start below their inputs: only the solver leaves the right room below from the start."""
    ranges = [LiveRange(i, size, i, i + 1) for i, size in enumerate((124, 224, 104, 196, 208))]
    rules = [OverlapRule(i, i + 1, distance) for i, distance in enumerate((76, 0, 56, 32))]
    assert plan_arena(ranges, rules, exact=False).arena_bytes == 312
    plan = plan_arena(ranges, rules)
    assert (plan.arena_bytes, plan.lower_bound_bytes, plan.algorithm) == (300, 300, "exact")
    assert plan == plan_arena(ranges, rules)
