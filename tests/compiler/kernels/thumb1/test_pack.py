"""The weights' streams say what the layers' weights say, and packed sums never leave their 16 bits."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from services.compiler.kernels.thumb1.pack import (
    FLAGS,
    dot_words,
    exact,
    gemm_words,
    pack_dot,
    pack_gemm,
    padded_depth,
    split_flags,
    splittable,
)

WEIGHTS = st.tuples(st.integers(1, 5), st.integers(1, 150)).flatmap(
    lambda shape: arrays(np.int8, shape, elements=st.integers(-127, 127))
)


def numbers(channels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a bias, a multiplier and a right shift for each channel."""
    at = np.arange(channels, dtype=np.int32)
    return 1000 * at - 2, (1 << 30) + at, 1 + at % 22


def products(stream: np.ndarray, x: np.ndarray) -> list[int]:
    """Return the sums of the first and of the second pixel as the matrix routine makes them, checking its range.

    `x` is [2, depth] int8, `stream` one channel.
    """
    bias, info, at = int(stream[0].astype(np.int32)), int(stream[2]), 3
    total, second, packed = bias * 65537 - (info >> 15 << 15), bias, 1 << 15
    words = iter(stream[at:])
    flags, left = 0, 0
    for k in range(0, x.shape[1], 4):
        if left == 0:
            flags, left = int(next(words)), 32
        taps = np.array([next(words)], np.uint32).view(np.int8).astype(np.int64)
        for half in range(2):
            for tap in (2 * half, 2 * half + 1):
                packed += int(taps[tap]) * int(x[0, k + tap] + 65536 * x[1, k + tap])
            assert -(1 << 31) <= packed < 1 << 31
            if flags >> 31:
                total, second, packed = total + packed, second + (packed >> 16), 1 << 15
            flags, left = flags << 1 & 0xFFFFFFFF, left - 1
    assert packed == 1 << 15
    first = (total - (second << 16)) & 0xFFFFFFFF
    return [first - (first >> 31 << 32), second]


@given(WEIGHTS, st.integers(0, 2**32 - 1))
def test_matrix_stream_gives_every_sum(weights: np.ndarray, seed: int) -> None:
    channels, depth = weights.shape
    bias, multiplier, shift = numbers(channels)
    stream = pack_gemm(weights, bias, multiplier, shift)
    assert len(stream) == gemm_words(channels, depth)
    random = np.random.default_rng(seed)
    x = np.zeros((2, padded_depth(depth)), np.int64)
    x[:, :depth] = random.choice((-128, 127, 0, 1, -37), (2, depth))
    for channel, one in enumerate(stream.reshape(channels, -1)):
        wanted = [int(weights[channel] @ pixel[:depth]) + bias[channel] for pixel in x]
        assert products(one, x) == wanted
        assert (one[1], one[2] & 0xFF) == (multiplier[channel], shift[channel])


@given(WEIGHTS)
def test_extreme_inputs_stay_in_16_bits_between_splits(weights: np.ndarray) -> None:
    for channel in np.pad(weights, ((0, 0), (0, weights.shape[1] % 2))).astype(np.int64):
        flags = split_flags(channel)
        assert flags[-1]
        assert all(flags[FLAGS - 1 :: FLAGS])
        for chunk in np.split(channel.reshape(-1, 2), np.flatnonzero(flags)[:-1] + 1):
            assert np.maximum(-128 * chunk, 127 * chunk).sum() < 1 << 15
            assert np.minimum(-128 * chunk, 127 * chunk).sum() >= -(1 << 15)


def test_only_neighbors_of_minus_128_cannot_be_split() -> None:
    assert not splittable(np.array([[1, 2, -128, -128]], np.int8))
    assert splittable(np.array([[1, -128, -128, 2, -128]], np.int8))
    assert splittable(np.array([[-128]], np.int8))


def test_exact_up_to_29_bits_and_22_places() -> None:
    weights = np.array([[1, -2]], np.int8)
    rest = 128 * 3

    def fits(bias: int, shift: int) -> bool:
        return exact(weights, np.array([bias], np.int32), np.array([shift], np.int32))

    assert fits((1 << 29) - rest - 1, 22)
    assert fits(-(1 << 29) + rest + 1, 1)
    assert not fits((1 << 29) - rest, 22)
    assert not fits(0, 23)
    assert not fits(0, 0)


@given(WEIGHTS)
def test_vector_stream_holds_pairs_of_channels(weights: np.ndarray) -> None:
    channels, depth = weights.shape
    bias, multiplier, shift = numbers(channels)
    stream = pack_dot(weights, bias, multiplier, shift)
    assert len(stream) == dot_words(channels, depth)
    for group, words in enumerate(stream.reshape(-1, depth + 12)):
        halves = words[4 : 4 + depth].view(np.int16).reshape(depth, 2).astype(np.int64)
        low = (halves & 0xFF).astype(np.int8).astype(np.int64)
        found = np.stack((low, (halves - low) >> 8), axis=2).reshape(depth, 4).T
        count = min(4, channels - 4 * group)
        assert np.array_equal(found[:count], weights[4 * group : 4 * group + count])
        assert not found[count:].any()
        ends = words[4 + depth :].reshape(4, 2)[:count]
        assert np.array_equal(ends, np.stack((shift, multiplier), axis=1)[4 * group : 4 * group + count])
