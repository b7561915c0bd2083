"""Reference of the operators with weights: Conv2D, DepthwiseConv2D and FullyConnected on int8.

Products are summed by float64 matrix products, which are exact here: |sum| < 2**53 by far.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Conv2D, DepthwiseConv2D, FullyConnected, Padding
from services.compiler.ir.tensor import DType, TensorId
from services.compiler.quant.fixed_point import Int64s, wrap_int32
from services.compiler.quant.requantize import (
    Multiplier,
    activation_range,
    as_arrays,
    channel_multipliers,
    dense_multipliers,
    requantize,
    requantize_wide,
)
from services.compiler.quant.values import Array, output_zero_point, quant_of


def conv2d(graph: Graph, op: Conv2D, x_nhwc: Array, weights_ohwi: Array, bias: Array | None) -> Array:
    """Return the int8 NHWC output of a convolution."""
    return rescale(graph, op, sums(graph, op, x_nhwc, weights_ohwi), bias)


def depthwise_conv2d(
    graph: Graph, op: DepthwiseConv2D, x_nhwc: Array, weights_1hwo: Array, bias: Array | None
) -> Array:
    """Return the int8 NHWC output of a depthwise convolution; output channel c * multiplier + m reads channel c."""
    return rescale(graph, op, sums(graph, op, x_nhwc, weights_1hwo), bias)


def fully_connected(graph: Graph, op: FullyConnected, x: Array, weights_oi: Array, bias: Array | None) -> Array:
    """Return the int8 output of a dense layer, in the output tensor's shape."""
    return rescale(graph, op, sums(graph, op, x, weights_oi), bias)


def sums(graph: Graph, op: Conv2D | DepthwiseConv2D | FullyConnected, x: Array, weights: Array) -> Int64s:
    """Return the sums of products [positions, output channels], before the bias and before any wrapping."""
    if isinstance(op, FullyConnected):
        rows = x.reshape(-1, weights.shape[1]).astype(np.float64) - quant_of(graph, op.input).zero_point[0]
        return _products(rows, weights)
    windows = input_windows(graph, op, x)
    out_h, out_w, in_channels, kernel_h, kernel_w = windows.shape
    if isinstance(op, Conv2D):
        columns = windows.transpose(0, 1, 3, 4, 2).reshape(out_h * out_w, -1).astype(np.float64)
        return _products(columns, weights.reshape(len(weights), -1))
    per_channel = weights[0].reshape(kernel_h, kernel_w, in_channels, -1)
    acc = np.einsum("yxckl,klcm->yxcm", windows, per_channel, dtype=np.int64, casting="same_kind", optimize=False)
    return np.asarray(acc, np.int64).reshape(out_h * out_w, -1)


def _products(rows: npt.NDArray[np.float64], filters: Array) -> Int64s:
    return np.asarray(rows @ filters.T.astype(np.float64)).astype(np.int64)


def is_relu(graph: Graph, op: Conv2D | DepthwiseConv2D | FullyConnected) -> bool:
    """Whether the output is clamped from below at its zero point or above, so that negative sums do not matter."""
    low, _ = activation_range(op.activation, quant_of(graph, op.output), graph.tensors[op.output].dtype)
    return low >= output_zero_point(graph, op)


def op_multipliers(graph: Graph, op: Conv2D | DepthwiseConv2D | FullyConnected) -> tuple[Multiplier, ...]:
    """Return the requantization multiplier of every output channel."""
    quants = quant_of(graph, op.input), quant_of(graph, op.weights), quant_of(graph, op.output)
    if isinstance(op, FullyConnected):
        return dense_multipliers(*quants, graph.tensors[op.weights].shape[0])
    return channel_multipliers(*quants, graph.tensors[op.output].shape[-1])


def input_windows(graph: Graph, op: Conv2D | DepthwiseConv2D, x_nhwc: Array) -> npt.NDArray[np.int32]:
    """Return int32 windows [OH, OW, C, KH, KW] of the input minus its zero point, padding included."""
    image = x_nhwc[0].astype(np.int32) - quant_of(graph, op.input).zero_point[0]
    padded = np.pad(image, _pad_widths(op.padding))
    kernel_hw = graph.tensors[op.weights].shape[1:3]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel_hw, op.dilation_hw, strict=True)]
    _, out_h, out_w, _ = graph.tensors[op.output].shape
    windows = sliding_window_view(padded, reach, axis=(0, 1))
    strided = windows[:: op.stride_hw[0], :: op.stride_hw[1], :, :: op.dilation_hw[0], :: op.dilation_hw[1]]
    return strided[:out_h, :out_w]


def _pad_widths(padding: Padding) -> tuple[tuple[int, int], ...]:
    return (padding.top, padding.bottom), (padding.left, padding.right), (0, 0)


def rescale(graph: Graph, op: Conv2D | DepthwiseConv2D | FullyConnected, acc: Int64s, bias: Array | None) -> Array:
    """Return the output of sums [positions, channels]: bias added, requantized, zero point added, clamped."""
    biased = acc if bias is None else acc + bias.astype(np.int64)
    multipliers = as_arrays(op_multipliers(graph, op))
    if sums_are_wide(graph, op):
        scaled = requantize_wide(biased, *multipliers)
    else:
        scaled = requantize(wrap_int32(biased), *multipliers)
    values = clamp(graph, op.output, op.activation, scaled + output_zero_point(graph, op))
    return values.reshape(graph.tensors[op.output].shape)


def sums_are_wide(graph: Graph, op: Conv2D | DepthwiseConv2D | FullyConnected) -> bool:
    """Whether sums have 64 bits: those of int16 inputs, but for a Conv2D whose bias is int32, as in TFLM."""
    if graph.tensors[op.input].dtype is not DType.INT16:
        return False
    return op.bias is None or graph.tensors[op.bias].dtype is DType.INT64


def clamp(graph: Graph, output: TensorId, activation: Activation, values: Int64s) -> Array:
    """Clamp to what the activation and the output's type allow, in the output's type."""
    tensor = graph.tensors[output]
    low, high = activation_range(activation, quant_of(graph, output), tensor.dtype)
    return np.clip(values, low, high).astype(tensor.dtype.numpy)
