"""The lowest place, found in two ways."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.compiler.memory.places import lowest, lowest_hole

SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12)), max_size=6)


@given(st.integers(1, 12), SPANS)
def test_lowest_hole_is_the_lowest_place_beside_what_nothing_is_shared_with(
    size: int, spans: list[tuple[int, int]]
) -> None:
    beside = [(number, length, None, None) for number, (_, length) in enumerate(spans)]
    expected = lowest(size, beside, [start for start, _ in spans])
    assert lowest_hole(size, [(start, start + length) for start, length in spans]) == expected
