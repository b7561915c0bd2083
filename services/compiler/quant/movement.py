"""Reference of the operators that move bytes, and of bilinear resize; none of them requantizes (nor does TFLM)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Concatenation, Pad, ResizeBilinear, ResizeNearestNeighbor, Split, StridedSlice
from services.compiler.quant.convolution import clamp
from services.compiler.quant.fixed_point import Int64s
from services.compiler.quant.values import Array


def pad(op: Pad, x: Array) -> Array:
    """Return x with constant borders."""
    return np.pad(x, tuple(zip(op.before, op.after, strict=True)), constant_values=op.value)


def concatenate(graph: Graph, op: Concatenation, parts: Sequence[Array]) -> Array:
    """Return the parts joined along the axis, clamped by the fused activation."""
    return clamp(graph, op.output, op.activation, np.concatenate(parts, axis=op.axis).astype(np.int64))


def strided_slice(graph: Graph, op: StridedSlice, x: Array) -> Array:
    """Return the chosen elements in the output tensor's shape (which may drop dimensions of size 1)."""
    picked = [range(*limits) for limits in zip(op.begin, op.end, op.strides, strict=True)]
    return x[np.ix_(*picked)].reshape(graph.tensors[op.output].shape)


def split(graph: Graph, op: Split, x: Array) -> tuple[Array, ...]:
    """Return the consecutive pieces of x along the axis."""
    sizes = [graph.tensors[t].shape[op.axis] for t in op.outputs]
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis=op.axis))


def resize_nearest(graph: Graph, op: ResizeNearestNeighbor, x_nhwc: Array) -> Array:
    """Return the image resized to the output's height and width."""
    _, out_h, out_w, _ = graph.tensors[op.output].shape
    rows = nearest_indices(op, x_nhwc.shape[1], out_h)
    columns = nearest_indices(op, x_nhwc.shape[2], out_w)
    return x_nhwc[:, rows][:, :, columns]


def nearest_indices(op: ResizeNearestNeighbor, in_size: int, out_size: int) -> tuple[int, ...]:
    """Return the input row (or column) that each output row (or column) copies, in TFLM's float32 arithmetic."""
    corners = op.align_corners and out_size > 1
    numerator, denominator = (in_size - 1, out_size - 1) if corners else (in_size, out_size)
    scale = np.float32(numerator) / np.float32(denominator)
    offset = np.float32(0.5 if op.half_pixel_centers else 0.0)
    position = (np.arange(out_size, dtype=np.float32) + offset) * scale
    nearest = np.floor(position.astype(np.float64) + 0.5) if op.align_corners else np.floor(position)
    return tuple(int(i) for i in np.clip(nearest, 0, in_size - 1))


@dataclass(frozen=True, slots=True)
class Blend:
    """For every output row (or column) the two input rows that it mixes, and how far it lies between, in 1/1024."""

    low: Int64s
    high: Int64s
    part: Int64s


def bilinear_blend(op: ResizeBilinear, in_size: int, out_size: int) -> Blend:
    """Return what each output row (or column) mixes. Source: TFLite's ResizeBilinearInteger (10-bit fixed point)."""
    corners = op.align_corners and out_size > 1
    numerator, denominator = (in_size - 1, out_size - 1) if corners else (in_size, out_size)
    scale = ((1 << 10) * numerator + denominator // 2) // denominator
    position = np.arange(out_size, dtype=np.int64) * scale
    if op.half_pixel_centers:
        position += scale // 2 - (1 << 9)
    low = np.maximum(position, 0) >> 10
    high = np.minimum(np.maximum(position + (1 << 10) - 1, 0) >> 10, in_size - 1)
    return Blend(low, high, position - (low << 10))


def resize_bilinear(graph: Graph, op: ResizeBilinear, x_nhwc: Array) -> Array:
    """Return the image resized to the output's height and width, rounded half away from zero."""
    _, out_h, out_w, _ = graph.tensors[op.output].shape
    rows, cols = bilinear_blend(op, x_nhwc.shape[1], out_h), bilinear_blend(op, x_nhwc.shape[2], out_w)
    image = x_nhwc[0].astype(np.int64)
    down, across = rows.part[:, None, None], cols.part[None, :, None]
    upper = image[rows.low][:, cols.low] * (1024 - across) + image[rows.low][:, cols.high] * across
    lower = image[rows.high][:, cols.low] * (1024 - across) + image[rows.high][:, cols.high] * across
    total = upper * (1024 - down) + lower * down
    rounded = (np.abs(total) + (1 << 19)) >> 20
    return np.asarray(np.where(total > 0, rounded, -rounded)[None], dtype=x_nhwc.dtype)
