"""Calls of the kernels with weights: convolution, depthwise convolution, fully connected."""

from __future__ import annotations

from services.compiler.codegen.operands import Operands
from services.compiler.codegen.program import ArrayRef, ConstArray, Fields, KernelCall, RegionArg
from services.compiler.codegen.shapes import output_fields, whole
from services.compiler.codegen.weights import (
    bias_array,
    filter_array,
    multiplier_arrays,
    per_channel,
)
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import AveragePool2D, Conv2D, DepthwiseConv2D, FullyConnected, MaxPool2D, RnnPool
from services.compiler.ir.shapes import row_stride
from services.compiler.ir.tensor import DType
from services.compiler.quant.folding import Weighted, output_channels
from services.compiler.quant.requantize import activation_range
from services.compiler.quant.values import output_zero_point, quant_of


def conv2d_call(graph: Graph, op: Conv2D, operands: Operands) -> KernelCall:
    """Return the call of a convolution."""
    arrays = _arrays(graph, op, operands)

    def fields() -> Fields:
        return (
            *_array_fields(arrays),
            ("in_row_stride", row_stride(graph, op.input)),
            ("out_row_stride", row_stride(graph, op.output)),
            ("in_c", graph.tensors[op.input].shape[3]),
            ("out_c", output_channels(graph, op)),
            ("in_zero_point", quant_of(graph, op.input).zero_point[0]),
            ("window", window_fields(graph, op)),
            ("out", weighted_output(graph, op)),
        )

    pointers = operands.read(op.input), operands.write(op.output)
    region = whole(graph.tensors[op.output])
    function = f"tf_conv2d_{weights_suffix(graph, op)}"
    return KernelCall(function, "tf_conv2d_s8_params", fields, arrays, pointers, region)


def depthwise_conv2d_call(graph: Graph, op: DepthwiseConv2D, operands: Operands) -> KernelCall:
    """Return the call of a depthwise convolution: through a plane where the schedule gave it one."""
    arrays = _arrays(graph, op, operands)

    def fields() -> Fields:
        in_c = graph.tensors[op.input].shape[3]
        return (
            *_array_fields(arrays),
            ("in_row_stride", row_stride(graph, op.input)),
            ("out_row_stride", row_stride(graph, op.output)),
            ("in_c", in_c),
            ("channel_multiplier", output_channels(graph, op) // in_c),
            ("in_zero_point", quant_of(graph, op.input).zero_point[0]),
            ("window", window_fields(graph, op)),
            ("out", weighted_output(graph, op)),
        )

    scratch = operands.scratch()
    pointers = operands.read(op.input), operands.write(op.output), *(() if scratch is None else (scratch,))
    kernel = "tf_depthwise_conv2d" if scratch is None else "tf_depthwise_conv2d_plane"
    function = f"{kernel}_{weights_suffix(graph, op)}"
    region = whole(graph.tensors[op.output])
    return KernelCall(function, "tf_depthwise_conv2d_s8_params", fields, arrays, pointers, region)


def fully_connected_call(graph: Graph, op: FullyConnected, operands: Operands) -> KernelCall:
    """Return the call of a fully connected layer; the region's columns are the batch."""
    arrays = _arrays(graph, op, operands)
    out_features, in_features = graph.tensors[op.weights].shape

    def fields() -> Fields:
        return (
            *_array_fields(arrays),
            ("in_features", in_features),
            ("out_features", out_features),
            ("channel_step", int(per_channel(graph, op))),
            ("out", weighted_output(graph, op)),
        )

    pointers = operands.read(op.input), operands.write(op.output)
    region = RegionArg((0, 1), (0, graph.tensors[op.output].elements // out_features))
    function = f"tf_fully_connected_{weights_suffix(graph, op)}"
    return KernelCall(function, "tf_fully_connected_s8_params", fields, arrays, pointers, region)


def weights_suffix(graph: Graph, op: Weighted) -> str:
    """Return how kernels for the type of the weights are named."""
    return "s4" if graph.tensors[op.weights].dtype is DType.INT4 else "s8"


def window_fields(graph: Graph, op: Conv2D | DepthwiseConv2D | AveragePool2D | MaxPool2D | RnnPool) -> Fields:
    """Return the initializer of a `tf_window`."""
    _, in_h, in_w, _ = graph.tensors[op.input].shape
    if isinstance(op, AveragePool2D | MaxPool2D | RnnPool):
        (kernel_h, kernel_w), (dilation_h, dilation_w) = op.kernel_hw, (1, 1)
    else:
        _, kernel_h, kernel_w, _ = graph.tensors[op.weights].shape
        dilation_h, dilation_w = op.dilation_hw
    return (
        ("in_h", in_h),
        ("in_w", in_w),
        ("kernel_h", kernel_h),
        ("kernel_w", kernel_w),
        ("stride_h", op.stride_hw[0]),
        ("stride_w", op.stride_hw[1]),
        ("dilation_h", dilation_h),
        ("dilation_w", dilation_w),
        ("pad_top", op.padding.top),
        ("pad_left", op.padding.left),
    )


def weighted_output(graph: Graph, op: Weighted) -> Fields:
    """Return the initializer of a weighted operator's `tf_output`."""
    tensor = graph.tensors[op.output]
    limits = activation_range(op.activation, quant_of(graph, op.output), tensor.dtype)
    return output_fields(output_zero_point(graph, op), limits)


_Arrays = tuple[ConstArray, ConstArray, ConstArray, ConstArray]


def _arrays(graph: Graph, op: Weighted, operands: Operands) -> _Arrays:
    label = operands.label
    return filter_array(graph, op, label), bias_array(graph, op, label), *multiplier_arrays(graph, op, label)


def _array_fields(arrays: _Arrays) -> Fields:
    names = "weights", "bias", "multiplier", "shift"
    return tuple((name, ArrayRef(array)) for name, array in zip(names, arrays, strict=True))
