"""Reference of the operators that only move bytes; none of them requantizes (nor does TFLM)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Concatenation, Pad, ResizeNearestNeighbor, Split, StridedSlice
from services.compiler.quant.convolution import clamp
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
