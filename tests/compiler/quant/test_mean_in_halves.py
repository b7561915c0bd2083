"""A mean in two halves, sums and what is made of them, is the mean."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.compiler.ir.tensor import DType
from services.compiler.quant.pooling import image_sums
from services.compiler.quant.reference import run_all_tensors
from tests.compiler.graph_maker import GraphMaker


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1 << 30),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9)),
    keep=st.booleans(),
)
def test_mean_of_sums_is_the_mean(seed: int, shape: tuple[int, int, int], keep: bool) -> None:
    m = GraphMaker(seed=seed, wild=True)
    x = m.input(1, *shape)
    whole, sums = m.mean(x, (1, 2), keep=keep), m.image_sums(x)
    halves = m.mean_of_sums(sums, shape[0] * shape[1], keep=keep)
    m.tensors[halves] = m.tensors[whole]
    image = np.random.default_rng(seed).integers(-128, 128, (1, *shape)).astype(np.int8)
    values = run_all_tensors(m.build(whole, halves), (image,))
    assert values[sums].dtype == DType.INT32.numpy and values[sums].shape == (1, 1, 1, shape[2])
    assert values[halves].dtype == values[whole].dtype and values[halves].shape == values[whole].shape
    np.testing.assert_array_equal(values[halves], values[whole])


def test_sums_are_of_values_as_they_are_stored() -> None:
    image = np.full((1, 300, 200, 2), [-128, 127], np.int8)
    assert image_sums(image).tolist() == [[[[-128 * 60000, 127 * 60000]]]]
