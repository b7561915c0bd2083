"""The search of core/ by itself: chains that greedy orders leave a gap in, and plans without the solver's help."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.compiler.memory.arena import plan_arena
from services.compiler.memory.live_range import LiveRange
from services.compiler.memory.native import hard_groups, step_needs, with_easy_placed
from services.compiler.memory.overlap import OverlapRule
from services.compiler.memory.problem import BUFFER_ALIGN, Problem

Chain = tuple[list[LiveRange], list[OverlapRule]]


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    """A chain of buffers, each of which may grow over the one before it, and others beside them; in any order."""
    sizes = draw(st.lists(st.integers(1, 400), min_size=2, max_size=9))
    chain = [LiveRange(n, size, n, n + 1) for n, size in enumerate(sizes)]
    rules = [
        OverlapRule(n, n + 1, draw(st.integers(-sizes[n], sizes[n + 1])), draw(st.sampled_from((1, 1, 3, 8))))
        for n in range(len(sizes) - 1)
        if draw(st.booleans())
    ]
    others = draw(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 8), st.integers(0, 3)), max_size=5))
    beside = [LiveRange(len(sizes) + n, size, at, at + lasts) for n, (size, at, lasts) in enumerate(others)]
    return draw(st.permutations([*chain, *beside])), rules


@given(chain=chains(), share=st.floats(0.0, 1.0))
def test_buffers_keep_apart_within_the_arena(chain: Chain, share: float) -> None:
    ranges, rules = chain
    problem, enough = Problem.of(ranges, rules), int(sum(r.size_bytes for r in ranges) * share)
    plan = plan_arena(ranges, rules, exact=False, enough_bytes=enough)
    offsets = {b: offset // BUFFER_ALIGN for b, offset in plan.offsets.items()}
    assert min(offsets.values()) >= 0
    assert problem.allows(offsets)
    assert problem.extent(offsets) * BUFFER_ALIGN == plan.arena_bytes >= plan.lower_bound_bytes


@given(chain=chains(), more=st.floats(0.0, 0.5))
def test_easy_buffers_find_holes_below_the_extent_wherever_the_hard_ones_lie(chain: Chain, more: float) -> None:
    """Also where those lie one on the other, and out of the extent: they are placed around them."""
    ranges, rules = chain
    extent = int(max(step_needs(ranges, rules)) * (1 + more))
    groups = hard_groups(ranges, rules, extent)
    hard = {r.buffer for r, group in zip(ranges, groups, strict=True) if group >= 0}
    for low in (True, False):
        known = [0 if low or r.buffer not in hard else extent - -(-r.size_bytes // BUFFER_ALIGN) for r in ranges]
        found = dict(zip((r.buffer for r in ranges), with_easy_placed(ranges, rules, extent, known), strict=True))
        assert all(found[r.buffer] == offset for r, offset in zip(ranges, known, strict=True) if r.buffer in hard)
        sizes = Problem.of(ranges, rules).sizes
        assert all(offset + sizes[b] <= extent for b, offset in found.items() if b not in hard)


@given(chains())
def test_groups_share_no_moment(chain: Chain) -> None:
    ranges, rules = chain
    groups = hard_groups(ranges, rules, max(step_needs(ranges, rules)))
    hard = [(r, group) for r, group in zip(ranges, groups, strict=True) if group >= 0]
    assert {group for _, group in hard} == set(range(len({group for _, group in hard})))
    assert not [1 for a, of_a in hard for b, of_b in hard if of_a != of_b and a.overlaps(b)]


def test_two_ends_of_the_arena_take_turns() -> None:
    """Each of a chain lives with the next one: they meet the bound from below and from above only."""
    sizes = (100, 300, 120, 280, 90, 310)
    plan = plan_arena([LiveRange(n, size, n, n + 1) for n, size in enumerate(sizes)], [], exact=False)
    assert plan.arena_bytes == plan.lower_bound_bytes == max(a + b for a, b in pairwise(sizes))


def test_outputs_below_their_inputs_find_room_from_above() -> None:
    """No greedy order places these in less than 308 bytes; the exact solver proves 272."""
    ranges = [LiveRange(n, size, n, n + 1) for n, size in enumerate((212, 132, 140, 184, 116))]
    rules = [OverlapRule(n, n + 1, distance) for n, distance in enumerate((24, 12, 60, 0))]
    plan = plan_arena(ranges, rules, exact=False, enough_bytes=272)
    assert plan.arena_bytes == plan_arena(ranges, rules).arena_bytes == 272
    assert "in time" in plan.algorithm
