"""Calls of the Thumb-2 kernels of int16 activations."""

from __future__ import annotations

from services.compiler.codegen.operands import Operands
from services.compiler.codegen.program import (
    ArrayRef,
    ConstArray,
    CType,
    Fields,
    KernelCall,
    RegionArg,
    Section,
    Symbol,
)
from services.compiler.codegen.shapes import whole
from services.compiler.codegen.weighted import window_fields
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Conv2D, DepthwiseConv2D, FullyConnected
from services.compiler.ir.shapes import row_stride
from services.compiler.kernels.thumb2 import files
from services.compiler.kernels.thumb2.dot_wide import (
    dot_wide_name,
    pack_wide,
    pack_wide_depthwise,
    wide_depthwise_words,
    wide_words,
)
from services.compiler.kernels.thumb2.pack import padded_depth
from services.compiler.quant.convolution import is_relu
from services.compiler.quant.folding import output_channels
from services.compiler.schedule.thumb2 import wide_channels, wide_depth


def wide_call(graph: Graph, op: Conv2D | FullyConnected, operands: Operands) -> KernelCall:
    """Return the call of a convolution or fully connected layer."""
    channels, depth, relu = output_channels(graph, op), wide_depth(graph, op) or 0, is_relu(graph, op)
    array = ConstArray(
        operands.label,
        Section.WEIGHTS,
        CType.UINT32,
        wide_words(channels, depth),
        lambda: pack_wide(*wide_channels(graph, op)),
    )

    def fields() -> Fields:
        return (
            ("weights", ArrayRef(array)),
            ("dot", Symbol(dot_wide_name(relu))),
            ("x_bytes", 2 * padded_depth(depth)),
            *_sizes(graph, op),
        )

    columns = graph.tensors[op.output].elements // channels
    dense = isinstance(op, FullyConnected)
    function = "tf_fully_connected_thumb2_s16" if dense else "tf_conv2d_thumb2_s16"
    return KernelCall(
        function,
        f"{function}_params",
        fields,
        (array,),
        (operands.read(op.input), operands.write(op.output), operands.needed_scratch(CType.INT16)),
        RegionArg((0, 1), (0, columns)) if dense else whole(graph.tensors[op.output]),
        (files.dot_wide_file(relu),),
    )


def _sizes(graph: Graph, op: Conv2D | FullyConnected) -> Fields:
    channels = output_channels(graph, op)
    if isinstance(op, FullyConnected):
        return ("in_features", graph.tensors[op.weights].shape[1]), ("out_features", channels)
    return (
        ("in_row_stride", row_stride(graph, op.input)),
        ("out_row_stride", row_stride(graph, op.output)),
        ("in_c", graph.tensors[op.input].shape[3]),
        ("out_c", channels),
        ("window", window_fields(graph, op)),
    )


def wide_depthwise_call(graph: Graph, op: DepthwiseConv2D, operands: Operands) -> KernelCall:
    """Return the call of a depthwise convolution."""
    _, kernel_h, kernel_w, channels = graph.tensors[op.weights].shape
    array = ConstArray(
        operands.label,
        Section.WEIGHTS,
        CType.UINT32,
        wide_depthwise_words(channels, kernel_h * kernel_w),
        lambda: pack_wide_depthwise(*wide_channels(graph, op)),
    )

    def fields() -> Fields:
        return (
            ("weights", ArrayRef(array)),
            ("in_row_stride", row_stride(graph, op.input)),
            ("out_row_stride", row_stride(graph, op.output)),
            ("channels", channels),
            ("negative", 0 if is_relu(graph, op) else -1),
            ("window", window_fields(graph, op)),
        )

    pointers = operands.read(op.input), operands.write(op.output)
    region = whole(graph.tensors[op.output])
    function = "tf_depthwise_thumb2_s16"
    return KernelCall(function, f"{function}_params", fields, (array,), pointers, region)
