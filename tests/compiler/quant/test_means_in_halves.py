"""A mean or pool over an image in two halves, sums and what is made of them, is the mean or pool."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.compiler.ir.activation import Activation
from services.compiler.ir.planned_ops import PoolOfSums
from services.compiler.ir.tensor import DType, TensorId
from services.compiler.quant.pooling import image_sums, pool_of_sums
from services.compiler.quant.reference import run_all_tensors
from tests.compiler.graph_maker import GraphMaker

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9))


def assert_equal_halves(m: GraphMaker, whole: TensorId, sums: TensorId, halves: TensorId, seed: int) -> None:
    m.tensors[halves] = m.tensors[whole]
    shape = m.tensors[m.inputs[0]].shape
    image = np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)
    values = run_all_tensors(m.build(whole, halves), (image,))
    assert values[sums].dtype == DType.INT32.numpy and values[sums].shape == (1, 1, 1, shape[3])
    assert values[halves].dtype == values[whole].dtype and values[halves].shape == values[whole].shape
    np.testing.assert_array_equal(values[halves], values[whole])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1 << 30), shape=SHAPES, keep=st.booleans())
def test_mean_of_sums_is_the_mean(seed: int, shape: tuple[int, int, int], keep: bool) -> None:
    m = GraphMaker(seed=seed, wild=True)
    x = m.input(1, *shape)
    whole, sums = m.mean(x, (1, 2), keep=keep), m.image_sums(x)
    assert_equal_halves(m, whole, sums, m.mean_of_sums(sums, shape[0] * shape[1], keep=keep), seed)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1 << 30), shape=SHAPES, activation=st.sampled_from(list(Activation)))
def test_pool_of_sums_is_the_pool(seed: int, shape: tuple[int, int, int], activation: Activation) -> None:
    m = GraphMaker(seed=seed, wild=True)
    x = m.input(1, *shape)
    whole, sums = m.global_pool(x, activation), m.image_sums(x)
    assert_equal_halves(m, whole, sums, m.pool_of_sums(sums, shape[0] * shape[1], activation), seed)


def test_pools_of_every_sum_round_halves_away_from_zero() -> None:
    for pixels in range(1, 130):
        every = np.arange(-128 * pixels, 127 * pixels + 1, dtype=np.int32).reshape(1, 1, 1, -1)
        m = GraphMaker()
        y = m.pool_of_sums(m.input(*every.shape, dtype=DType.INT32), pixels)
        (op,) = m.ops
        assert isinstance(op, PoolOfSums)
        away = (2 * np.abs(every.astype(np.int64)) + pixels) // (2 * pixels)
        np.testing.assert_array_equal(pool_of_sums(m.build(y), op, every), np.sign(every) * away)


def test_sums_are_of_values_as_they_are_stored() -> None:
    image = np.full((1, 300, 200, 2), [-128, 127], np.int8)
    assert image_sums(image).tolist() == [[[[-128 * 60000, 127 * 60000]]]]
