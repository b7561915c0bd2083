"""How far outputs are told to be apart."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.families import distances


def test_distances_are_in_steps_of_each_output() -> None:
    ours = [np.array([[0.0, 1.0]]), np.array([[3.0, 7.0]])]
    theirs = [np.array([[0.5, 1.0]]), np.array([[3.0, 5.0]])]
    worst, rms, spread = distances(ours, theirs, steps=[0.5, 1.0])
    assert (worst, rms) == (2.0, pytest.approx((5 / 4) ** 0.5))
    assert spread == pytest.approx(((0.25 + 0.25 + 1 + 1) / 4) ** 0.5)
