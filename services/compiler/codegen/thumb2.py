"""Calls of the Thumb-2 DSP kernels. Each gives None where the operator needs the portable kernel."""

from __future__ import annotations

from dataclasses import replace

from services.compiler.codegen.elementwise import mul_call, quantize_call
from services.compiler.codegen.limits import limit_calls
from services.compiler.codegen.means import image_sums_call, mean_call
from services.compiler.codegen.operands import Operands
from services.compiler.codegen.pooling import pool_call
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
from services.compiler.codegen.thumb2_elementwise import add_call, add_constant_call, softmax_call
from services.compiler.codegen.thumb2_wide import wide_call, wide_depthwise_call
from services.compiler.codegen.weighted import window_fields
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import (
    Add,
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    MaxPool2D,
    Mean,
    Mul,
    Op,
    Quantize,
    Softmax,
    Sub,
)
from services.compiler.ir.planned_ops import ImageSums
from services.compiler.ir.shapes import row_stride
from services.compiler.kernels.thumb2 import files
from services.compiler.kernels.thumb2.dot import dot_entry, dot_name
from services.compiler.kernels.thumb2.gather import GatherShape
from services.compiler.kernels.thumb2.gemm import SMALL_STEPS, STEPS, gemm_entry, gemm_name
from services.compiler.kernels.thumb2.pack import (
    channel_bytes,
    pack_depthwise,
    pack_gemm,
    packed_words,
    padded_depth,
)
from services.compiler.kernels.thumb2.requantize import offset
from services.compiler.quant.channels import channel_arithmetic
from services.compiler.quant.convolution import is_relu
from services.compiler.quant.folding import Weighted, output_channels
from services.compiler.quant.values import output_zero_point, quant_of
from services.compiler.schedule.thumb2 import (
    adds,
    adds_constant,
    averages,
    depthwise_plan,
    is_column,
    is_pointwise,
    is_wide_depthwise,
    matrix_depth,
    multiplies,
    normalizes,
    pixel_blocks,
    pools,
    quantizes,
    weight_bits,
    wide_depth,
)


def thumb2_calls(graph: Graph, op: Op, operands: Operands, *, small: bool = False) -> tuple[KernelCall, ...] | None:
    """Return the calls of an operator, or None where these kernels do not cover it.

    `small` takes routines of less code: one for outputs with and without a ReLU, loops in the place of repetition.
    """
    match op:
        case Conv2D() if matrix_depth(graph, op) is not None:
            return (_conv2d_call(graph, op, operands, small), *limit_calls(graph, op, operands))
        case FullyConnected() if matrix_depth(graph, op) is not None:
            return (_fully_connected_call(graph, op, operands, small), *limit_calls(graph, op, operands))
        case Conv2D() | FullyConnected() if wide_depth(graph, op) is not None:
            return (wide_call(graph, op, operands),)
        case DepthwiseConv2D() if is_wide_depthwise(graph, op):
            return (wide_depthwise_call(graph, op, operands),)
        case DepthwiseConv2D() if depthwise_plan(graph, op, operands.step.extent) is not None:
            return (_depthwise_call(graph, op, operands, small), *limit_calls(graph, op, operands))
        case Add() | Sub() if adds(graph, op):
            return (add_call(graph, op, operands), *limit_calls(graph, op, operands))
        case Add() | Sub() if adds_constant(graph, op):
            return (add_constant_call(graph, op, operands), *limit_calls(graph, op, operands))
        case Mul() if multiplies(graph, op):
            return (_own(mul_call(graph, op, operands)), *limit_calls(graph, op, operands))
        case AveragePool2D() | MaxPool2D() if pools(graph, op):
            return (_own(pool_call(graph, op, operands)),)
        case Mean() if averages(graph, op):
            return (_own(mean_call(graph, op, operands)),)
        case ImageSums():
            return (_own(image_sums_call(graph, op, operands)),)
        case Quantize() if quantizes(graph, op):
            return (replace(quantize_call(graph, op, operands), function="tf_quantize_thumb2_f32"),)
        case Softmax() if normalizes(graph, op):
            return (softmax_call(graph, op, operands),)
        case _:
            return None


def _own(call: KernelCall) -> KernelCall:
    """Return the call of a portable kernel's fellow with the same parameters."""
    return replace(call, function=f"{call.function.removesuffix('_s8')}_thumb2_s8")


def _conv2d_call(graph: Graph, op: Conv2D, operands: Operands, small: bool) -> KernelCall:
    array, channels, steps = _packed(graph, op, operands), output_channels(graph, op), SMALL_STEPS if small else STEPS
    relu = not small and is_relu(graph, op)
    depth, bits = padded_depth(matrix_depth(graph, op) or 0), weight_bits(graph, op)
    routine = gemm_name(relu, channels % 4, bits, steps)

    def fields() -> Fields:
        block = pixel_blocks(graph, op, operands.rows()).block(operands.scratch_bytes())
        stage = block.pairs * 4 * depth if block.staged else 0
        return (
            ("weights", ArrayRef(array)),
            ("gemm", Symbol(routine)),
            ("shape", _matrix_shape(graph, op, 4 * depth, gemm_entry(depth, steps), stage)),
            ("in_row_stride", row_stride(graph, op.input)),
            ("out_row_stride", row_stride(graph, op.output)),
            ("in_c", graph.tensors[op.input].shape[3]),
            ("out_c", channels),
            ("block_pairs", block.pairs),
            ("in_zero_point", quant_of(graph, op.input).zero_point[0]),
            ("window", window_fields(graph, op)),
        )

    return KernelCall(
        _matrix_kernel(graph, op),
        "tf_conv2d_thumb2_params",
        fields,
        (array,),
        (operands.read(op.input), operands.write(op.output), operands.needed_scratch()),
        whole(graph.tensors[op.output]),
        (files.gemm_file(relu, channels % 4, bits, steps), files.expand_pair_file()),
    )


def _matrix_kernel(graph: Graph, op: Conv2D) -> str:
    if is_pointwise(graph, op):
        return "tf_pointwise_thumb2_s8"
    return "tf_conv2d_column_thumb2_s8" if is_column(graph, op) else "tf_conv2d_thumb2_s8"


def _fully_connected_call(graph: Graph, op: FullyConnected, operands: Operands, small: bool) -> KernelCall:
    array, channels = _packed(graph, op, operands), output_channels(graph, op)
    relu = not small and is_relu(graph, op)
    features, bits = matrix_depth(graph, op) or 0, weight_bits(graph, op)
    depth = padded_depth(features)
    routine = dot_name(relu, channels % 4, bits)

    def fields() -> Fields:
        return (
            ("weights", ArrayRef(array)),
            ("dot", Symbol(routine)),
            ("shape", _matrix_shape(graph, op, 2 * depth, dot_entry(depth, bits))),
            ("in_features", features),
            ("out_features", channels),
        )

    return KernelCall(
        "tf_fully_connected_thumb2_s8",
        "tf_fully_connected_thumb2_params",
        fields,
        (array,),
        (operands.read(op.input), operands.write(op.output), operands.needed_scratch()),
        RegionArg((0, 1), (0, graph.tensors[op.output].elements // channels)),
        (files.dot_file(relu, channels % 4, bits), files.expand_file()),
    )


def _depthwise_call(graph: Graph, op: DepthwiseConv2D, operands: Operands, small: bool) -> KernelCall:
    plan = depthwise_plan(graph, op, operands.step.extent)
    if plan is None:
        raise AssertionError("asked for a plan that does not exist")
    channels, in_c = output_channels(graph, op), graph.tensors[op.input].shape[3]
    kernel_hw, bits = plan.kernel_hw, weight_bits(graph, op)

    def values() -> Values:
        found = channel_arithmetic(graph, op)
        filters = found.weights.reshape(channels, *kernel_hw)
        return pack_depthwise(
            filters, found.bias, found.multiplier, found.right_shift, bits, no_right_shift=plan.no_right_shift
        )

    record = channel_bytes(kernel_hw, bits)
    array = ConstArray(operands.label, Section.WEIGHTS, CType.INT8, channels * record, values)
    in_row_stride, out_row_stride = operands.row_stride(op.input), operands.row_stride(op.output)
    shape = replace(plan.shape(graph, op, is_relu(graph, op), out_row_stride), small=small)
    image = plan.image(in_c, in_row_stride)
    channel, gather, source = files.depthwise_file(shape, image)
    gathers = ("gather", "gather_columns") if isinstance(image, GatherShape) else ("gather_columns", "gather")

    def fields() -> Fields:
        return (
            ("channels", ArrayRef(array)),
            ("channel", Symbol(channel)),
            (gathers[0], Symbol(gather)),
            (gathers[1], 0),
            ("in_row_stride", in_row_stride),
            ("out_row_stride", out_row_stride),
            ("in_c", in_c),
            ("channel_multiplier", channels // in_c),
            ("record_bytes", record),
            ("plane_w", plan.plane_w),
            ("chunk_rows", plan.plane().chunk_rows(operands.scratch_bytes())),
            ("in_zero_point", quant_of(graph, op.input).zero_point[0]),
            ("window", window_fields(graph, op)),
        )

    return KernelCall(
        "tf_depthwise_thumb2_s8",
        "tf_depthwise_thumb2_params",
        fields,
        (array,),
        (operands.read(op.input), operands.write(op.output), operands.needed_scratch(CType.INT16)),
        whole(graph.tensors[op.output]),
        (source,),
    )


def _packed(graph: Graph, op: Conv2D | FullyConnected, operands: Operands) -> ConstArray:
    channels, depth, bits = output_channels(graph, op), matrix_depth(graph, op) or 0, weight_bits(graph, op)

    def values() -> Values:
        found = channel_arithmetic(graph, op)
        return pack_gemm(found.weights, found.bias, found.multiplier, found.right_shift, bits)

    return ConstArray(operands.label, Section.WEIGHTS, CType.UINT32, packed_words(channels, depth, bits), values)


def _matrix_shape(graph: Graph, op: Weighted, x_bytes: int, entry: int, stage: int = 0) -> Fields:
    channels = output_channels(graph, op)
    return (
        ("x_bytes", x_bytes),
        ("entry", entry),
        ("channels", channels // 4 * 4),
        ("offset", offset(output_zero_point(graph, op))),
        ("out_step", channels),
        ("stage", stage),
    )
