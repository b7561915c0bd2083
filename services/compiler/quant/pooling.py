"""Reference of AveragePool2D, MaxPool2D, Mean and Sum on int8, and of a Mean or pool in two halves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import AveragePool2D, MaxPool2D, Mean, Sum
from services.compiler.ir.planned_ops import MeanOfSums, PoolOfSums
from services.compiler.quant.convolution import clamp
from services.compiler.quant.fixed_point import Int64s, wrap_int32
from services.compiler.quant.requantize import Multiplier, quantize_multiplier, requantize
from services.compiler.quant.values import Array, output_zero_point, quant_of


def average_pool(graph: Graph, op: AveragePool2D, x_nhwc: Array) -> Array:
    """Return the mean of each window over the elements inside the image, halves away from zero, not requantized."""
    sums = _sum_of_windows(graph, op, x_nhwc[0].astype(np.int64))
    counts = _sum_of_windows(graph, op, np.ones((*x_nhwc.shape[1:3], 1), dtype=np.int64))
    return clamp(graph, op.output, op.activation, _divide_half_away(sums, counts)[None])


def max_pool(graph: Graph, op: MaxPool2D, x_nhwc: Array) -> Array:
    """Return the maximum of each window over the elements inside the image."""
    low, _ = graph.tensors[op.input].dtype.value_range
    padded = np.pad(x_nhwc[0].astype(np.int64), _pad_widths(op), constant_values=low)
    best = np.full(graph.tensors[op.output].shape[1:], low, dtype=np.int64)
    for y, x in np.ndindex(*op.kernel_hw):
        best = np.maximum(best, _tap(graph, op, padded, y, x))
    return clamp(graph, op.output, op.activation, best[None])


def _sum_of_windows(graph: Graph, op: AveragePool2D, image_hwc: Int64s) -> Int64s:
    padded = np.pad(image_hwc, _pad_widths(op))
    total = np.zeros((*graph.tensors[op.output].shape[1:3], image_hwc.shape[2]), dtype=np.int64)
    for y, x in np.ndindex(*op.kernel_hw):
        total += _tap(graph, op, padded, y, x)
    return total


def _pad_widths(op: AveragePool2D | MaxPool2D) -> tuple[tuple[int, int], ...]:
    return (op.padding.top, op.padding.bottom), (op.padding.left, op.padding.right), (0, 0)


def _tap(graph: Graph, op: AveragePool2D | MaxPool2D, padded: Int64s, y: int, x: int) -> Int64s:
    """Return what kernel position (y, x) sees for every output position."""
    _, out_h, out_w, _ = graph.tensors[op.output].shape
    stride_h, stride_w = op.stride_hw
    return padded[y : y + (out_h - 1) * stride_h + 1 : stride_h, x : x + (out_w - 1) * stride_w + 1 : stride_w]


def _divide_half_away(sums: Int64s, counts: Int64s | np.int64) -> Int64s:
    magnitude = (np.abs(sums) + counts // 2) // counts
    return np.where(sums > 0, magnitude, -magnitude)


@dataclass(frozen=True, slots=True)
class MeanParams:
    """Mean or sum of `count` elements: requantize(sum - count * input_zero_point, multiplier) + output zero point."""

    count: int
    input_zero_point: int
    multiplier: Multiplier


def mean_params(graph: Graph, op: Mean | Sum | MeanOfSums) -> MeanParams:
    """Return the parameters of a mean or sum; TFLM folds a mean's division by the count into the multiplier."""
    source, result = quant_of(graph, op.input), quant_of(graph, op.output)
    count = _summed(graph, op)
    scale = quantize_multiplier(source.scale[0] / result.scale[0])
    if isinstance(op, Sum):
        return MeanParams(count, source.zero_point[0], scale)
    shift = min(count.bit_length() - 1, 32, 31 + scale.shift)
    folded = Multiplier((scale.value << shift) // count, scale.shift - shift)
    return MeanParams(count, source.zero_point[0], folded)


def _summed(graph: Graph, op: Mean | Sum | MeanOfSums) -> int:
    if isinstance(op, MeanOfSums):
        return op.pixels
    return int(np.prod([graph.tensors[op.input].shape[a] for a in op.axes], dtype=np.int64))


def mean(graph: Graph, op: Mean | Sum, x: Array) -> Array:
    """Return the mean or sum over the op's axes in the output tensor's shape."""
    return _requantized(graph, op, x.astype(np.int64).sum(axis=op.axes))


def image_sums(image_nhwc: Array) -> Array:
    """Return the sums of an image's channels over its pixels, zero points and all, int32 [1, 1, 1, C]."""
    return wrap_int32(image_nhwc.astype(np.int64).sum(axis=(1, 2), keepdims=True)).astype(np.int32)


def mean_of_sums(graph: Graph, op: MeanOfSums, sums: Array) -> Array:
    """Return what Mean would have given of the image whose channels have these sums, in the output tensor's shape."""
    return _requantized(graph, op, sums.astype(np.int64))


def pool_of_sums(graph: Graph, op: PoolOfSums, sums: Array) -> Array:
    """Return what AveragePool2D would have given of the image whose channels have these sums."""
    return clamp(graph, op.output, op.activation, _divide_half_away(sums.astype(np.int64), np.int64(op.pixels)))


def _requantized(graph: Graph, op: Mean | Sum | MeanOfSums, sums: Int64s) -> Array:
    params = mean_params(graph, op)
    total = sums - params.count * params.input_zero_point
    scaled = requantize(wrap_int32(total), params.multiplier.value, params.multiplier.shift)
    values = clamp(graph, op.output, Activation.NONE, scaled + output_zero_point(graph, op))
    return values.reshape(graph.tensors[op.output].shape)
