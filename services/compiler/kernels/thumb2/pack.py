"""Weights in the order in which the matrix kernels read them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.compiler.kernels.thumb2.requantize import addend

Words = npt.NDArray[np.uint32]
# int16 positions of four values x0..x3 after SXTB16 of a word and of the word rotated by 8 bits
_LANES = ((0, 2), (1, 3))


def packed_words(channels: int, depth: int) -> int:
    """Return the number of words of `pack_gemm`: starts, weights and requantization of every pair of channels."""
    pairs = -(-channels // 2)
    return pairs * (2 + padded_depth(depth) // 2) + 3 * channels


def padded_depth(depth: int) -> int:
    """Return the depth rounded up to the 4 values that a word holds."""
    return -(-depth // 4) * 4


def separable(weights: npt.NDArray[np.int8], bias: npt.NDArray[np.int32]) -> bool:
    """Whether every second channel's sum stays in 24 bits whatever the input, and every pair fits a halfword.

    `weights` is [channels, depth], `bias` [channels] as added to the sum of raw inputs.
    """
    wide = weights.astype(np.int64)
    reach = np.maximum(wide * -128, wide * 127).sum(axis=1), np.minimum(wide * -128, wide * 127).sum(axis=1)
    high = slice(1, None, 2)
    largest = max((reach[0][high] + bias[high]).max(initial=0), -(reach[1][high] + bias[high]).min(initial=0))
    return bool(largest < 1 << 23) and not bool((weights[high] == -128).any())


def pack_gemm(
    weights: npt.NDArray[np.int8],
    bias: npt.NDArray[np.int32],
    multiplier: npt.NDArray[np.int32],
    right_shift: npt.NDArray[np.int32],
    zero_point: int,
) -> Words:
    """Return the stream of a matrix kernel: groups of 4 channels, then pairs of what is left.

    A group holds its accumulators' start values, its weights by k, and (multiplier, addend, shift) a channel.
    `weights` is [channels, depth] int8; the others are [channels].
    """
    channels, depth = weights.shape
    even = channels + channels % 2
    padded = np.zeros((even, padded_depth(depth)), np.int64)
    padded[:channels, :depth] = weights
    starts = np.zeros(even, np.int64)
    starts[:channels] = bias
    halves = padded[0::2] + 256 * padded[1::2]  # [pairs, depth]
    ends = [(int(m), addend(zero_point, int(s)), int(s)) for m, s in zip(multiplier, right_shift, strict=True)]
    words: list[int] = []
    first = 0
    while first < channels:
        pairs = 2 if channels - first >= 4 else 1
        members = range(first // 2, first // 2 + pairs)
        for pair in members:
            low, high = int(starts[2 * pair]), int(starts[2 * pair + 1])
            words += [low, low + 256 * high]
        for k in range(0, padded.shape[1], 4):
            words += [_word(halves[pair, k : k + 4], lanes) for lanes in _LANES for pair in members]
        for channel in range(first, min(first + 2 * pairs, channels)):
            words += ends[channel]
        first += 2 * pairs
    return np.array([w & 0xFFFFFFFF for w in words], np.uint32)


def _word(halves: npt.NDArray[np.int64], lanes: tuple[int, int]) -> int:
    return (int(halves[lanes[0]]) & 0xFFFF) | (int(halves[lanes[1]]) & 0xFFFF) << 16
