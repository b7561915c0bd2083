"""Weights in the order in which the matrix kernels read them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.compiler.kernels.thumb2.requantize import MAX_RIGHT_SHIFT, RIGHT_SHIFT_BITS

Words = npt.NDArray[np.uint32]


def packed_words(channels: int, depth: int, bits: int = 8) -> int:
    """Return the number of words of `pack_gemm`: starts, weights, multipliers and shifts of every group."""
    pairs = -(-channels // 2)
    weights = pairs * padded_depth(depth) // (2 if bits == 8 else 4)
    return pairs * 2 + weights + channels + channels // 4 + -(-(channels % 4) // 2)


def group_bytes(depth: int, bits: int = 8) -> int:
    """Return the bytes of a group of four channels in `pack_gemm`."""
    return padded_depth(depth) * bits // 2 + 36


def padded_depth(depth: int) -> int:
    """Return the depth rounded up to the 4 values that a word holds."""
    return -(-depth // 4) * 4


def separable(weights: npt.NDArray[np.int8], bias: npt.NDArray[np.int32]) -> bool:
    """Whether every second channel's sum stays in 24 bits whatever the input, the others' doubled sums in 32 bits.

    `weights` is [channels, depth], `bias` [channels] as added to the sum of raw inputs.
    """
    wide = weights.astype(np.int64)
    reach = np.maximum(wide * -128, wide * 127).sum(axis=1), np.minimum(wide * -128, wide * 127).sum(axis=1)
    largest = np.maximum(np.abs(reach[0] + bias), np.abs(reach[1] + bias))
    low, high = slice(0, None, 2), slice(1, None, 2)
    # 256 * high + low must fit a halfword, which only a high of -128 prevents
    fits = not bool((weights[high] == -128).any())
    return fits and bool(largest[high].max(initial=0) < 1 << 23) and bool(largest[low].max(initial=0) < 1 << 30)


def pack_gemm(
    weights: npt.NDArray[np.int8],
    bias: npt.NDArray[np.int32],
    multiplier: npt.NDArray[np.int32],
    right_shift: npt.NDArray[np.int32],
    bits: int = 8,
) -> Words:
    """Return the stream of a matrix kernel: groups of 4 channels, then pairs of what is left.

    A group holds its accumulators' start values, its weights by k, a word of shifts less 1 (a byte a channel) and
    its multipliers. `weights` is [channels, depth] int8, of four bits values of -8 to 7, of which a word then holds
    two of the stream (see `staging.py`); the others are [channels], shifts 1 to 31.
    """
    channels, depth = weights.shape
    if not ((right_shift >= 1) & (right_shift <= MAX_RIGHT_SHIFT)).all():
        raise ValueError(f"right shifts are {right_shift.min()} to {right_shift.max()}: must be 1 to {MAX_RIGHT_SHIFT}")
    padded = np.zeros((channels + channels % 2, padded_depth(depth)), np.int64)
    padded[:channels, :depth] = weights
    starts = np.zeros(len(padded), np.int64)
    starts[:channels] = bias
    lanes = _lanes(padded[0::2] + 256 * padded[1::2])
    words: list[int] = []
    first = 0
    while first < channels:
        pairs = 2 if channels - first >= 4 else 1
        members = range(first // 2, first // 2 + pairs)
        for pair in members:
            low, high = int(starts[2 * pair]), int(starts[2 * pair + 1])
            words += [low, low + 256 * high]
        stream = lanes[members.start : members.stop].transpose(1, 2, 0).ravel().tolist()
        words += stream if bits == 8 else _nibbles(stream)
        ends = slice(first, min(first + 2 * pairs, channels))
        words.append(sum(int(shift - 1) << 8 * number for number, shift in enumerate(right_shift[ends])))
        words += [int(m) for m in multiplier[ends]]
        first += 2 * pairs
    return np.array([w & 0xFFFFFFFF for w in words], np.uint32)


def _lanes(halves: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the words [pairs, depth / 4, 2] that meet four values x0..x3 of the input.

    x0 and x2 are the int16 lanes after SXTB16 of their word, x1 and x3 after that of the word rotated by 8 bits.
    """
    quads = halves.reshape(len(halves), -1, 4) & 0xFFFF
    return np.asarray(quads[..., :2] | quads[..., 2:] << 16)


def _nibbles(stream: list[int]) -> list[int]:
    """Return two words of the stream in one: 8 more than their bytes' values in the low and in the high halves."""
    unsigned = [(low + 0x0808 & 0xFFFF) | (high + 0x0808 & 0xFFFF) << 16 for low, high in map(_halves, stream)]
    return [first | second << 4 for first, second in zip(unsigned[0::2], unsigned[1::2], strict=True)]


def _halves(word: int) -> tuple[int, int]:
    return word & 0xFFFF, word >> 16


def channel_bytes(kernel_hw: tuple[int, int], bits: int = 8) -> int:
    """Return the bytes of one channel of `pack_depthwise`."""
    return 9 + kernel_hw[0] * filter_row_bytes(kernel_hw[1], bits)


def filter_row_bytes(kernel_w: int, bits: int) -> int:
    """Return the bytes of one row of a filter; rows begin with a byte of their own."""
    return -(-kernel_w * bits // 8)


def pack_depthwise(
    weights: npt.NDArray[np.int8],
    bias: npt.NDArray[np.int32],
    multiplier: npt.NDArray[np.int32],
    right_shift: npt.NDArray[np.int32],
    bits: int = 8,
    *,
    no_right_shift: bool = False,
) -> npt.NDArray[np.int8]:
    """Return the records of a depthwise layer's channels: multiplier, doubled bias, shift less 1, filter by rows.

    With `no_right_shift` right shifts may be 0, or negative: a left shift of the channel's filter and bias. A record
    has both shifts then.

    `weights` is [channels, kernel_h, kernel_w] int8, of four bits with the first of two in the low half of a byte; the
    others are [channels], right shifts 1 (or -7) to 22.
    """
    rows = weights if bits == 8 else _packed_rows(weights)
    right_shifts, left_shifts = np.maximum(right_shift, 0).tolist(), np.maximum(-right_shift, 0).tolist()
    records = [
        np.array([m, int(b) << left + 1], np.int64).astype(np.int32).tobytes()
        + bytes([right | left << RIGHT_SHIFT_BITS if no_right_shift else right - 1])
        + w.tobytes()
        for w, b, m, right, left in zip(rows, bias, multiplier, right_shifts, left_shifts, strict=True)
    ]
    return np.frombuffer(b"".join(records), np.int8)


def _packed_rows(weights: npt.NDArray[np.int8]) -> npt.NDArray[np.uint8]:
    even = np.pad(weights, ((0, 0), (0, 0), (0, weights.shape[2] % 2))).astype(np.uint8) & 15
    return np.asarray(even[..., 0::2] | even[..., 1::2] << 4, np.uint8)
