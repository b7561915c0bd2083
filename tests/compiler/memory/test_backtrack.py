"""Placement in the order of time: within its extent, and of chains that greedy orders leave a gap in."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.compiler.memory.backtrack import InTime
from services.compiler.memory.live_range import LiveRange
from services.compiler.memory.overlap import OverlapRule
from services.compiler.memory.problem import BUFFER_ALIGN, Problem


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """A chain of buffers, each of which may grow over the one before it, and others beside them."""
    sizes = draw(st.lists(st.integers(1, 400), min_size=2, max_size=9))
    chain = [LiveRange(n, size, n, n + 1) for n, size in enumerate(sizes)]
    rules = [
        OverlapRule(n, n + 1, draw(st.integers(-sizes[n], sizes[n + 1])), draw(st.sampled_from((1, 1, 3, 8))))
        for n in range(len(sizes) - 1)
        if draw(st.booleans())
    ]
    others = draw(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 8), st.integers(0, 3)), max_size=5))
    beside = [LiveRange(len(sizes) + n, size, at, at + lasts) for n, (size, at, lasts) in enumerate(others)]
    return Problem.of([*chain, *beside], rules)


@given(problem=problems(), share=st.floats(0.5, 1.0), backward=st.booleans())
def test_buffers_lie_within_the_extent_and_keep_apart(problem: Problem, share: float, backward: bool) -> None:
    extent = int(sum(problem.sizes.values()) * share)
    found = InTime(problem, tuple(problem.sizes), backward=backward).within(extent)
    if found is None:
        assert share < 1.0  # one on the other they always have room
        return
    assert problem.extent(found) <= extent
    for buffer, offset in found.items():
        others = {b: o for b, o in found.items() if b != buffer}
        assert offset >= 0
        assert problem.fits(buffer, offset, others)


@pytest.mark.parametrize("backward", [False, True])
def test_two_ends_of_the_arena_take_turns(backward: bool) -> None:
    """Each of a chain lives with the next one: they meet the bound from below and from above only."""
    sizes = (100, 300, 120, 280, 90, 310)
    ranges = [LiveRange(n, size, n, n + 1) for n, size in enumerate(sizes)]
    problem = Problem.of(ranges, [])
    bound = max(a + b for a, b in pairwise(sizes)) // BUFFER_ALIGN
    assert InTime(problem, range(len(sizes)), backward=backward).within(bound) is not None
    assert InTime(problem, range(len(sizes)), backward=backward).within(bound - 1) is None


def test_outputs_below_their_inputs_find_room_from_above() -> None:
    """No greedy order places these in less than 308 bytes; the exact solver proves 272."""
    ranges = [LiveRange(n, size, n, n + 1) for n, size in enumerate((212, 132, 140, 184, 116))]
    problem = Problem.of(ranges, [OverlapRule(n, n + 1, distance) for n, distance in enumerate((24, 12, 60, 0))])
    assert InTime(problem, range(5)).within(272 // BUFFER_ALIGN) is not None
