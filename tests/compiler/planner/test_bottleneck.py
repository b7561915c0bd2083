"""The least memory of cuts against all paths, with needs that are told late."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.compiler.planner.bottleneck import NEVER, Bottleneck


def least(needs: dict[tuple[int, int], int], end: int, first: int) -> int:
    """Return the need of the neediest piece on the best path by trying all."""
    if first == end:
        return 0
    return min(max(need, least(needs, end, stop)) for (start, stop), need in needs.items() if start == first)


@given(data=st.data(), end=st.integers(1, 6))
def test_the_best_path_is_found_whatever_its_bounds_were(data: st.DataObject, end: int) -> None:
    pieces = [(a, b) for a in range(end) for b in range(a + 1, end + 1)]
    needs = {p: data.draw(st.integers(0, 30)) for p in pieces if p[1] == p[0] + 1 or data.draw(st.booleans())}
    bounds = np.full((end + 1, end + 1), NEVER, dtype=np.int64)
    for piece, need in needs.items():
        bounds[piece] = data.draw(st.integers(0, need))
    found = Bottleneck(bounds, lambda start, stop: needs[start, stop])
    for _ in range(3):
        first = data.draw(st.integers(0, end))
        assert found.least(first) == least(needs, end, first)
        changed = data.draw(st.sampled_from(sorted(needs)))
        needs[changed] = data.draw(st.integers(0, 40))
        found.set_need(*changed, needs[changed])
