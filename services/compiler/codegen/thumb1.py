"""Calls of the Cortex-M0+ kernels. Each gives None where the operator needs the portable kernel."""

from __future__ import annotations

from math import prod

from services.compiler.codegen.limits import limit_calls
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
    Values,
)
from services.compiler.codegen.shapes import whole
from services.compiler.codegen.weighted import window_fields
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Add, Conv2D, DepthwiseConv2D, FullyConnected, Op
from services.compiler.ir.shapes import nhwc, row_stride
from services.compiler.kernels.thumb1 import files
from services.compiler.kernels.thumb1.add import add_name
from services.compiler.kernels.thumb1.dot import dot_name
from services.compiler.kernels.thumb1.gemm import gemm_name
from services.compiler.kernels.thumb1.pack import (
    dot_words,
    gemm_words,
    pack_depthwise,
    pack_dot,
    pack_gemm,
    record_bytes,
)
from services.compiler.quant.channels import channel_arithmetic
from services.compiler.quant.convolution import is_relu
from services.compiler.quant.elementwise import add_params
from services.compiler.quant.folding import output_channels
from services.compiler.quant.values import output_zero_point, quant_of
from services.compiler.schedule import thumb1
from services.compiler.schedule.plane import ChunkedPlane
from services.compiler.schedule.thumb2 import swapped_operands


def thumb1_calls(graph: Graph, op: Op, operands: Operands) -> tuple[KernelCall, ...] | None:
    """Return the calls of an operator, or None where these kernels do not cover it."""
    match op:
        case Conv2D() if thumb1.convolves(graph, op):
            return (_conv2d_call(graph, op, operands), *limit_calls(graph, op, operands))
        case DepthwiseConv2D() if (plane := thumb1.depthwise_plane(graph, op, operands.step.extent)) is not None:
            return (_depthwise_call(graph, op, operands, plane), *limit_calls(graph, op, operands))
        case FullyConnected() if thumb1.multiplies(graph, op):
            return (_fully_connected_call(graph, op, operands), *limit_calls(graph, op, operands))
        case Add() if thumb1.adds(graph, op):
            return (_add_call(graph, op, operands), *limit_calls(graph, op, operands))
        case _:
            return None


def _conv2d_call(graph: Graph, op: Conv2D, operands: Operands) -> KernelCall:
    channels, depth = output_channels(graph, op), prod(graph.tensors[op.weights].shape[1:])

    def values() -> Values:
        found = channel_arithmetic(graph, op)
        return pack_gemm(found.weights, found.bias, found.multiplier, found.right_shift)

    array = ConstArray(operands.label, Section.WEIGHTS, CType.UINT32, gemm_words(channels, depth), values)
    relu = is_relu(graph, op)

    def fields() -> Fields:
        return (
            ("weights", ArrayRef(array)),
            ("gemm", Symbol(gemm_name(relu))),
            (
                "shape",
                (
                    ("x_bytes", thumb1.x_bytes(graph, op)),
                    ("channels", channels),
                    ("zero", 2 * output_zero_point(graph, op) + 1),
                ),
            ),
            ("in_row_stride", row_stride(graph, op.input)),
            ("out_row_stride", row_stride(graph, op.output)),
            ("in_c", graph.tensors[op.input].shape[3]),
            ("in_zero_point", quant_of(graph, op.input).zero_point[0]),
            ("window", window_fields(graph, op)),
        )

    return KernelCall(
        "tf_conv2d_thumb1_s8",
        "tf_conv2d_thumb1_params",
        fields,
        (array,),
        (operands.read(op.input), operands.write(op.output), operands.needed_scratch()),
        whole(graph.tensors[op.output]),
        (files.gemm_file(relu), files.expand_file()),
    )


def _depthwise_call(graph: Graph, op: DepthwiseConv2D, operands: Operands, plane: ChunkedPlane) -> KernelCall:
    channels, taps = output_channels(graph, op), prod(graph.tensors[op.weights].shape[1:3])

    def values() -> Values:
        found = channel_arithmetic(graph, op)
        return pack_depthwise(found.weights, found.bias, found.multiplier, found.right_shift)

    record = record_bytes(taps)
    array = ConstArray(operands.label, Section.WEIGHTS, CType.UINT32, channels * record // 4, values)
    row = thumb1.depthwise_row(graph, op, operands.step.extent, relu=is_relu(graph, op))
    out_row_stride = operands.row_stride(op.output)

    def fields() -> Fields:
        chunk_rows = plane.chunk_rows(operands.scratch_bytes())
        return (
            ("records", ArrayRef(array)),
            ("channel", Symbol(row.name)),
            (
                "shape",
                (
                    ("kernel_step", op.dilation_hw[0] * plane.width),
                    ("row_step", op.stride_hw[0] * plane.width),
                    ("tiles", row.out_w // row.tile),
                    ("channels", channels),
                    ("zero", 2 * output_zero_point(graph, op) + 1),
                ),
            ),
            ("in_row_stride", row_stride(graph, op.input)),
            ("out_row_stride", out_row_stride),
            ("record_bytes", record),
            ("plane_w", plane.width),
            ("chunk_rows", chunk_rows),
            ("call_rows", chunk_rows if out_row_stride == row.out_w * channels else 1),
            ("in_zero_point", quant_of(graph, op.input).zero_point[0]),
            ("window", window_fields(graph, op)),
        )

    return KernelCall(
        "tf_depthwise_thumb1_s8",
        "tf_depthwise_thumb1_params",
        fields,
        (array,),
        (operands.read(op.input), operands.write(op.output), operands.needed_scratch()),
        whole(graph.tensors[op.output]),
        (files.depthwise_file(row),),
    )


def _fully_connected_call(graph: Graph, op: FullyConnected, operands: Operands) -> KernelCall:
    channels, depth = graph.tensors[op.weights].shape

    def values() -> Values:
        found = channel_arithmetic(graph, op)
        return pack_dot(found.weights, found.bias, found.multiplier, found.right_shift)

    array = ConstArray(operands.label, Section.WEIGHTS, CType.UINT32, dot_words(channels, depth), values)
    relu, tail = is_relu(graph, op), channels % 4

    def fields() -> Fields:
        zero = 2 * output_zero_point(graph, op) + 1
        return (
            ("weights", ArrayRef(array)),
            ("dot", Symbol(dot_name(relu, tail))),
            ("shape", (("x_bytes", depth), ("channels", channels), ("zero", zero))),
        )

    return KernelCall(
        "tf_fully_connected_thumb1_s8",
        "tf_fully_connected_thumb1_params",
        fields,
        (array,),
        (operands.read(op.input), operands.write(op.output)),
        RegionArg((0, 1), (0, graph.tensors[op.output].elements // channels)),
        (files.dot_file(relu, tail),),
    )


def _add_call(graph: Graph, op: Add, operands: Operands) -> KernelCall:
    swapped = swapped_operands(graph, op)
    plain, scaled = reversed(op.inputs) if swapped else op.inputs
    params = add_params(graph, op)
    multiplier = params.left if swapped else params.right

    shifted = multiplier.shift < 0

    def fields() -> Fields:
        shifts = -multiplier.shift - 1 if shifted else 0, -params.output.shift
        zero_points = (-quant_of(graph, t).zero_point[0] for t in (plain, scaled))
        zero = 2 * output_zero_point(graph, op) + 1
        values = *shifts, zero, *zero_points, multiplier.value, params.output.value
        return (
            ("add", Symbol(add_name(shifted))),
            ("values", values),
            ("plain_row_stride", operands.row_stride(plain)),
            ("scaled_row_stride", operands.row_stride(scaled)),
            ("out_row_stride", operands.row_stride(op.output)),
            ("channels", nhwc(graph.tensors[op.output].shape)[3]),
        )

    pointers = operands.read(plain), operands.read(scaled), operands.write(op.output)
    region = whole(graph.tensors[op.output])
    sources = (files.add_file(shifted),)
    return KernelCall("tf_add_thumb1_s8", "tf_add_thumb1_params", fields, (), pointers, region, sources)
