"""A transposed convolution as a convolution and blocks of its channels spread over pixels: the same sums, bit for bit.

With stride s, output row y reads kernel rows k of one residue (y + padding) mod s only, each with input row
(y + padding - k) / s. So every residue is a small convolution of its own, all of them together are one convolution
with s_h * s_w times the channels, and depth to space puts their results side by side. Where a residue has fewer
kernel rows than the others, zeros fill up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.compiler.importers.padding import Window
from services.compiler.ir.ops import Padding

Pair = tuple[int, int]
Weights = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Phases:
    """The convolution: padding of its input, output size, and where the result starts among the spread pixels."""

    padding: Padding
    output_hw: Pair
    crop_hw: Pair


@dataclass(frozen=True, slots=True)
class _Axis:
    before: int
    after: int
    size: int
    crop: int


def phases(window: Window, cut_hw: Pair, input_hw: Pair, output_hw: Pair) -> Phases:
    """Return the convolution of a transposed one; `cut_hw` is what is left out above and left of the full result."""
    rows, cols = (
        _axis(k, s, (cut, i), o)
        for k, s, cut, i, o in zip(window.kernel_hw, window.stride_hw, cut_hw, input_hw, output_hw, strict=True)
    )
    return Phases(
        Padding(rows.before, rows.after, cols.before, cols.after), (rows.size, cols.size), (rows.crop, cols.crop)
    )


def _axis(kernel: int, stride: int, cut_and_size: Pair, out_size: int) -> _Axis:
    pad, in_size = cut_and_size
    taps = -(-kernel // stride)
    first, last = pad // stride, (out_size - 1 + pad) // stride
    before, after = taps - 1 - first, max(0, last - (in_size - 1))
    return _Axis(before, after, in_size + before + after - taps + 1, pad - stride * first)


def phase_weights(weights_ohwi: Weights, stride_hw: Pair) -> Weights:
    """Return the weights [s_h * s_w * O, taps_h, taps_w, I] of the convolution."""
    channels, kernel_h, kernel_w, inputs = weights_ohwi.shape
    taps_h, taps_w = (-(-k // s) for k, s in zip((kernel_h, kernel_w), stride_hw, strict=True))
    padded = np.zeros((channels, taps_h * stride_hw[0], taps_w * stride_hw[1], inputs), weights_ohwi.dtype)
    padded[:, :kernel_h, :kernel_w] = weights_ohwi
    cut = padded.reshape(channels, taps_h, stride_hw[0], taps_w, stride_hw[1], inputs)
    turned = cut[:, ::-1, :, ::-1].transpose(2, 4, 0, 1, 3, 5)
    return np.ascontiguousarray(turned.reshape(-1, taps_h, taps_w, inputs))
