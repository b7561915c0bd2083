"""Weights in the order in which the kernels read them, and what must hold for these kernels to be exact."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from services.compiler.kernels.thumb1.requantize import MAX_RIGHT_SHIFT, MAX_SUM_BITS

Int8s = npt.NDArray[np.int8]
Int32s = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint32]

# taps whose weights share a word, words whose flags share a word, taps that share a flag
GROUP, FLAGGED_GROUPS, FLAGGED_TAPS = 4, 16, 2
FLAGS = FLAGGED_GROUPS * GROUP // FLAGGED_TAPS
HEADER_WORDS = 3
# outputs of a vector product that share their words of weights
DOT_CHANNELS = 4
_RECORD_HEAD_BYTES = 9


def padded_depth(depth: int) -> int:
    """Return the depth rounded up to the 4 weights that a word holds."""
    return -(-depth // GROUP) * GROUP


def gemm_words(channels: int, depth: int) -> int:
    """Return the number of words of `pack_gemm`."""
    groups = padded_depth(depth) // GROUP
    return channels * (HEADER_WORDS + groups + -(-groups // FLAGGED_GROUPS))


def exact(weights: Int8s, bias: Int32s, right_shift: Int32s) -> bool:
    """Whether sums and requantization stay inside their registers for every input.

    `weights` is [channels, depth], `bias` [channels] as added to the sum of raw inputs.
    """
    largest = 128 * np.abs(weights.astype(np.int64)).sum(axis=1) + np.abs(bias.astype(np.int64))
    shifts = bool(((right_shift >= 1) & (right_shift <= MAX_RIGHT_SHIFT)).all())
    return shifts and bool(largest.max(initial=0) < 1 << MAX_SUM_BITS)


def splittable(weights: Int8s) -> bool:
    """Whether the packed sum of every two neighboring taps fits 16 bits: only two weights of -128 do not."""
    lowest = weights == -128
    even, odd = lowest[:, 0::2], lowest[:, 1::2]
    return not bool((even[:, : odd.shape[1]] & odd).any())


def split_flags(weights: npt.NDArray[np.int64]) -> list[bool]:
    """Return for every two taps of a channel whether its packed sums must be split after them.

    A sum of int8 inputs times these weights stays in [-2^15, 2^15); two taps must. The last two taps of every word of
    flags are flagged. `weights` has an even length.
    """
    pairs = weights.reshape(-1, FLAGGED_TAPS)
    least = np.minimum(-128 * pairs, 127 * pairs).sum(axis=1).tolist()
    most = np.maximum(-128 * pairs, 127 * pairs).sum(axis=1).tolist()
    flags = [number % FLAGS == FLAGS - 1 for number in range(len(pairs))]
    flags[-1] = True
    low = high = 0
    for number, (down, up) in enumerate(zip(least, most, strict=True)):
        low, high = low + down, high + up
        if low < -(1 << 15) or high >= 1 << 15:
            flags[number - 1] = True
            low, high = down, up
        if flags[number]:
            low = high = 0
    return flags


def pack_gemm(weights: Int8s, bias: Int32s, multiplier: Int32s, right_shift: Int32s) -> Words:
    """Return the stream of the matrix routine, channel after channel.

    A channel is its bias, its multiplier, 2^15 * number of splits + right shift, then for every 16 groups of four
    taps a word of flags, the first in the highest bit, and the groups' weights. `weights` is [channels, depth]; the
    others are [channels].
    """
    channels, depth = weights.shape
    padded = np.zeros((channels, padded_depth(depth)), np.int64)
    padded[:, :depth] = weights
    words: list[int] = []
    for channel, taps in enumerate(padded):
        flags = split_flags(taps)
        words += [int(bias[channel]), int(multiplier[channel]), (sum(flags) << 15) + int(right_shift[channel])]
        words += _flagged(taps, flags)
    return np.array([w & 0xFFFFFFFF for w in words], np.uint32)


def _flagged(taps: npt.NDArray[np.int64], flags: list[bool]) -> Iterator[int]:
    groups = taps.astype(np.int8).view("<u4")
    for first in range(0, len(groups), FLAGGED_GROUPS):
        mine = flags[2 * first : 2 * (first + FLAGGED_GROUPS)]
        yield sum(flag << 31 - place for place, flag in enumerate(mine))
        yield from (int(group) for group in groups[first : first + FLAGGED_GROUPS])


def record_bytes(taps: int) -> int:
    """Return the bytes of a channel's record of `pack_depthwise`, a multiple of 4."""
    return -(-(_RECORD_HEAD_BYTES + taps) // 4) * 4


def pack_depthwise(weights: Int8s, bias: Int32s, multiplier: Int32s, right_shift: Int32s) -> Words:
    """Return the records of a depthwise layer's channels: multiplier, bias for inputs + 128, right shift, filter.

    `weights` is [channels, taps]; the others are [channels].
    """
    raised = bias.astype(np.int64) - 128 * weights.astype(np.int64).sum(axis=1)
    size = record_bytes(weights.shape[1])
    records = [
        (np.array([m, b], np.int64).astype("<i4").tobytes() + bytes([int(s)]) + w.tobytes()).ljust(size, b"\0")
        for w, b, m, s in zip(weights, raised, multiplier, right_shift, strict=True)
    ]
    return np.frombuffer(b"".join(records), "<u4")


def dot_words(channels: int, depth: int) -> int:
    """Return the number of words of `pack_dot`."""
    return -(-channels // DOT_CHANNELS) * (DOT_CHANNELS + depth + 2 * DOT_CHANNELS)


def pack_dot(weights: Int8s, bias: Int32s, multiplier: Int32s, right_shift: Int32s) -> Words:
    """Return the stream of the vector routine, by groups of four channels; the last is filled up with zeros.

    A group holds its sums' start values, 256 * second + first and first of both pairs of channels, its weights by
    value of the vector in the same way, two halfwords a word, then right shift and multiplier of each channel.
    """
    groups = -(-len(weights) // DOT_CHANNELS)
    missing = groups * DOT_CHANNELS - len(weights)
    filled = np.pad(weights.astype(np.int64), ((0, missing), (0, 0))).reshape(groups, 2, 2, -1)
    starts = np.pad(bias.astype(np.int64), (0, missing)).reshape(groups, 2, 2)
    halves = filled[:, :, 0] + 256 * filled[:, :, 1]  # [groups, 2, depth]
    words = (halves[:, 0] & 0xFFFF) | (halves[:, 1] & 0xFFFF) << 16
    heads = np.stack((starts[:, :, 0] + 256 * starts[:, :, 1], starts[:, :, 0]), axis=2).reshape(groups, -1)
    ends = np.stack((np.pad(right_shift, (0, missing)), np.pad(multiplier, (0, missing))), axis=1)
    stream = np.concatenate((heads, words, ends.reshape(groups, -1).astype(np.int64)), axis=1)
    return (stream & 0xFFFFFFFF).astype(np.uint32).ravel()
