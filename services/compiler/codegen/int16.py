"""Calls of the kernels that only int16 activations have: layers with weights, sigmoids, softmax, rescaling."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

import numpy as np

from services.compiler.codegen.elementwise import row_fields, whole_rows
from services.compiler.codegen.operands import Operands
from services.compiler.codegen.program import (
    ArrayRef,
    ConstArray,
    CType,
    Fields,
    KernelCall,
    RegionArg,
    Section,
    Values,
)
from services.compiler.codegen.shapes import whole
from services.compiler.codegen.weighted import weighted_output, window_fields
from services.compiler.codegen.weights import filter_array, per_channel
from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import (
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Logistic,
    Quantize,
    Relu,
    Softmax,
    Tanh,
)
from services.compiler.ir.shapes import row_stride
from services.compiler.ir.tensor import DType
from services.compiler.quant.convolution import op_multipliers, sums_are_wide
from services.compiler.quant.folding import Weighted, constant_data, output_channels
from services.compiler.quant.interpolated import (
    CURVE_ENTRIES,
    SIGMOID_ENTRIES,
    exp_curve,
    reciprocal_curve,
    sigmoid_scale,
    sigmoid_table,
    softmax_scale,
)
from services.compiler.quant.lut import rescale_multiplier
from services.compiler.quant.requantize import activation_range, as_arrays, reduced
from services.compiler.quant.values import output_zero_point, quant_of

_SHORT = {DType.INT8: "s8", DType.INT16: "s16"}


def weighted_call(graph: Graph, op: Weighted, operands: Operands) -> KernelCall:
    """Return the call of a layer with int8 weights."""
    weights, sums = filter_array(graph, op, operands.label), _sum_arrays(graph, op, operands.label)
    function, region, sizes = _kernel(graph, op)

    def fields() -> Fields:
        return ("weights", ArrayRef(weights)), ("sum", _sum_fields(graph, op, sums)), *sizes()

    pointers = operands.read(op.input), operands.write(op.output)
    return KernelCall(function, f"{function}_params", fields, (weights, *sums), pointers, region)


def _kernel(graph: Graph, op: Weighted) -> tuple[str, RegionArg, Callable[[], Fields]]:
    """Return the kernel, its region and the fields of its parameters beside weights and sum."""
    channels, in_c = output_channels(graph, op), graph.tensors[op.input].shape[-1]
    match op:
        case FullyConnected():
            features = graph.tensors[op.weights].shape[1]
            region = RegionArg((0, 1), (0, graph.tensors[op.output].elements // channels))
            return "tf_fully_connected_s16", region, lambda: (("in_features", features), ("out_features", channels))
        case Conv2D():
            kind, counted = "tf_conv2d_s16", ("out_c", channels)
        case DepthwiseConv2D():
            kind, counted = "tf_depthwise_conv2d_s16", ("channel_multiplier", channels // in_c)
        case _:
            assert_never(op)
    strides = ("in_row_stride", row_stride(graph, op.input)), ("out_row_stride", row_stride(graph, op.output))
    window = lambda: (*strides, ("in_c", in_c), counted, ("window", window_fields(graph, op)))  # noqa: E731
    return kind, whole(graph.tensors[op.output]), window


def _sum_arrays(graph: Graph, op: Weighted, label: str) -> tuple[ConstArray, ConstArray, ConstArray]:
    """Return bias, multipliers and shifts."""
    channels = output_channels(graph, op)
    count = channels if per_channel(graph, op) else 1

    def bias() -> Values:
        held = np.zeros(channels, np.int64) if op.bias is None else constant_data(graph, op.bias)
        return held.astype(np.int64).ravel()

    def multipliers() -> Values:
        values = as_arrays(op_multipliers(graph, op))[0][:count]
        return reduced(values).astype(np.int32) if sums_are_wide(graph, op) else values

    return (
        ConstArray(f"{label}_bias", Section.WEIGHTS, CType.INT64, channels, bias),
        ConstArray(f"{label}_multiplier", Section.TABLE, CType.INT32, count, multipliers),
        ConstArray(
            f"{label}_shift", Section.TABLE, CType.INT8, count, lambda: as_arrays(op_multipliers(graph, op))[1][:count]
        ),
    )


def _sum_fields(graph: Graph, op: Weighted, arrays: tuple[ConstArray, ConstArray, ConstArray]) -> Fields:
    names = "bias", "multiplier", "shift"
    return (
        *((name, ArrayRef(array)) for name, array in zip(names, arrays, strict=True)),
        ("channel_step", int(per_channel(graph, op))),
        ("narrow", int(not sums_are_wide(graph, op))),
        ("out", weighted_output(graph, op)),
    )


def sigmoid_call(graph: Graph, op: Logistic | Tanh, operands: Operands) -> KernelCall:
    """Return the call of a logistic function or hyperbolic tangent; layers share the table in flash."""
    table = ConstArray(f"{operands.label}_sigmoid", Section.WEIGHTS, CType.UINT16, SIGMOID_ENTRIES, sigmoid_table)

    def fields() -> Fields:
        scale = sigmoid_scale(graph, op)
        return (
            ("table", ArrayRef(table)),
            ("multiplier", scale.multiplier),
            ("shift", scale.shift),
            *row_fields(graph, op.output, ("row_stride",)),
            ("tangent", int(isinstance(op, Tanh))),
        )

    pointers = operands.read(op.input), operands.write(op.output)
    region = whole_rows(graph, op.output)
    return KernelCall("tf_sigmoid_s16", "tf_sigmoid_s16_params", fields, (table,), pointers, region)


def softmax_int16_call(graph: Graph, op: Softmax, operands: Operands) -> KernelCall:
    """Return the call of a softmax over the last dimension."""
    label, depth = operands.label, graph.tensors[op.output].shape[-1]
    exps = ConstArray(f"{label}_exp", Section.WEIGHTS, CType.INT16, CURVE_ENTRIES, exp_curve)
    reciprocals = ConstArray(f"{label}_reciprocal", Section.WEIGHTS, CType.INT16, CURVE_ENTRIES, reciprocal_curve)

    def fields() -> Fields:
        scale = softmax_scale(graph, op)
        curves = ("exp_curve", ArrayRef(exps)), ("reciprocal_curve", ArrayRef(reciprocals))
        return *curves, ("multiplier", scale.value), ("shift", scale.shift), ("depth", depth)

    region = RegionArg((0, 1), (0, graph.tensors[op.output].elements // depth))
    pointers = operands.read(op.input), operands.write(op.output)
    return KernelCall("tf_softmax_s16", "tf_softmax_s16_params", fields, (exps, reciprocals), pointers, region)


def rescale_call(graph: Graph, op: Relu | Quantize, operands: Operands) -> KernelCall:
    """Return the call that brings integers to another scale, one side or both of them int16."""
    source, result = (graph.tensors[t] for t in (op.input, op.output))
    kinds = dict.fromkeys((_SHORT[source.dtype], _SHORT[result.dtype]))

    def fields() -> Fields:
        multiplier = rescale_multiplier(graph, op)
        activation = op.activation if isinstance(op, Relu) else Activation.NONE
        low, high = activation_range(activation, quant_of(graph, op.output), result.dtype)
        return (
            ("multiplier", multiplier.value),
            *row_fields(graph, op.output, ("row_stride",)),
            ("in_zero_point", quant_of(graph, op.input).zero_point[0]),
            ("shift", multiplier.shift),
            ("out", (("zero_point", output_zero_point(graph, op)), ("min", low), ("max", high))),
        )

    pointers = operands.read(op.input), operands.write(op.output)
    function = "_".join(("tf_rescale", *kinds))
    return KernelCall(function, "tf_rescale_params", fields, (), pointers, whole_rows(graph, op.output))
