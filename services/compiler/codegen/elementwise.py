"""Calls of the element-wise kernels: sums, products, tables, float edges, softmax."""

from __future__ import annotations

import numpy as np

from services.compiler.codegen.operands import Operands
from services.compiler.codegen.program import (
    ArenaRef,
    ArrayRef,
    ConstArray,
    CType,
    Fields,
    FieldValue,
    KernelCall,
    RegionArg,
    Section,
    Values,
)
from services.compiler.codegen.shapes import output_fields
from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.node import Node
from services.compiler.ir.ops import Add, Dequantize, Maximum, Minimum, Mul, PRelu, Quantize, Softmax, Sub
from services.compiler.ir.planned_ops import PullRows
from services.compiler.ir.shapes import Shape4, dense_strides, nhwc, row_stride
from services.compiler.ir.tensor import DType, TensorId
from services.compiler.quant.elementwise import add_params, mul_multiplier, prelu_params
from services.compiler.quant.lut import TableOp, lookup_table
from services.compiler.quant.requantize import activation_range
from services.compiler.quant.softmax import exp_of_difference, softmax_params
from services.compiler.quant.values import output_zero_point, quant_of

Broadcasting = Add | Sub | Mul | Maximum | Minimum | PRelu


def add_call(graph: Graph, op: Add | Sub, operands: Operands) -> KernelCall:
    """Return the call of a sum or difference."""

    def fields() -> Fields:
        params = add_params(graph, op)
        return (
            ("shape", _broadcast(graph, op)),
            ("in1_multiplier", params.left.value),
            ("in2_multiplier", params.right.value),
            ("out_multiplier", params.output.value),
            *_input_zero_points(graph, op),
            ("in1_shift", params.left.shift),
            ("in2_shift", params.right.shift),
            ("out_shift", params.output.shift),
            ("sign", -1 if isinstance(op, Sub) else 1),
            ("out", _clamped_output(graph, op)),
        )

    return KernelCall(
        f"tf_add_{activation_suffix(graph, op)}",
        "tf_add_s8_params",
        fields,
        (),
        _pointers(op, operands),
        _broadcast_region(graph, op),
    )


def mul_call(graph: Graph, op: Mul, operands: Operands) -> KernelCall:
    """Return the call of a product."""

    def fields() -> Fields:
        multiplier = mul_multiplier(graph, op)
        return (
            ("shape", _broadcast(graph, op)),
            ("multiplier", multiplier.value),
            *_input_zero_points(graph, op),
            ("shift", multiplier.shift),
            ("out", _clamped_output(graph, op)),
        )

    return KernelCall(
        f"tf_mul_{activation_suffix(graph, op)}",
        "tf_mul_s8_params",
        fields,
        (),
        _pointers(op, operands),
        _broadcast_region(graph, op),
    )


def extremum_call(graph: Graph, op: Maximum | Minimum, operands: Operands) -> KernelCall:
    """Return the call of a maximum or minimum."""

    def fields() -> Fields:
        return ("shape", _broadcast(graph, op)), ("sign", 1 if isinstance(op, Maximum) else -1)

    region = _broadcast_region(graph, op)
    return KernelCall("tf_extremum_s8", "tf_extremum_s8_params", fields, (), _pointers(op, operands), region)


def prelu_call(graph: Graph, op: PRelu, operands: Operands) -> KernelCall:
    """Return the call of a PRelu."""

    def fields() -> Fields:
        params = prelu_params(graph, op)
        limits = activation_range(Activation.NONE, quant_of(graph, op.output), graph.tensors[op.output].dtype)
        return (
            ("shape", _broadcast(graph, op)),
            ("multiplier", params.identity.value),
            ("alpha_multiplier", params.alpha.value),
            ("in_zero_point", quant_of(graph, op.input).zero_point[0]),
            ("alpha_zero_point", quant_of(graph, op.alpha).zero_point[0]),
            ("shift", params.identity.shift),
            ("alpha_shift", params.alpha.shift),
            ("out", output_fields(output_zero_point(graph, op), limits)),
        )

    region = _broadcast_region(graph, op)
    return KernelCall("tf_prelu_s8", "tf_prelu_s8_params", fields, (), _pointers(op, operands), region)


def lut_call(graph: Graph, op: TableOp, operands: Operands) -> KernelCall:
    """Return the call of any function of one byte."""
    table = ConstArray(f"{operands.label}_lut", Section.TABLE, CType.INT8, 256, lambda: _byte_table(graph, op))
    return table_call(graph, table, operands.read(op.input), operands.write(op.output), op.output)


def table_call(
    graph: Graph, table: ConstArray, source: ArenaRef | ArrayRef, target: ArenaRef, shaped_as: TensorId
) -> KernelCall:
    """Return the call that passes every byte of a tensor through a table."""

    def fields() -> Fields:
        return ("table", ArrayRef(table)), *row_fields(graph, shaped_as)

    region = whole_rows(graph, shaped_as)
    return KernelCall("tf_lut_s8", "tf_lut_s8_params", fields, (table,), (source, target), region)


def quantize_call(graph: Graph, op: Quantize, operands: Operands) -> KernelCall:
    """Return the call that turns float32 into integers."""
    function = "tf_quantize_f32_s16" if activation_suffix(graph, op) == "s16" else "tf_quantize_f32"
    return _float_edge(graph, op, op.output, function, (operands.read(op.input), operands.write(op.output)))


def quantize_pulled_call(graph: Graph, op: PullRows, operands: Operands) -> KernelCall:
    """Return the call that turns a row of float32, which is in scratch, into integers."""
    function = "tf_quantize_f32_s16" if activation_suffix(graph, op) == "s16" else "tf_quantize_f32"
    pointers = operands.needed_scratch(CType.FLOAT32), operands.write(op.output)
    return _float_edge(graph, op, op.output, function, pointers)


def dequantize_call(graph: Graph, op: Dequantize, operands: Operands) -> KernelCall:
    """Return the call that turns integers into float32."""
    int16 = graph.tensors[op.input].dtype is DType.INT16
    pointers = operands.read(op.input), operands.write(op.output)
    return _float_edge(graph, op, op.input, "tf_dequantize_s16_f32" if int16 else "tf_dequantize_f32", pointers)


def softmax_call(graph: Graph, op: Softmax, operands: Operands) -> KernelCall:
    """Return the call of a softmax over the last dimension."""
    depth = graph.tensors[op.output].shape[-1]
    entries = min(256, 1 - softmax_params(graph, op).diff_min)
    table = ConstArray(f"{operands.label}_exp", Section.TABLE, CType.INT32, entries, lambda: _exps(graph, op, entries))

    def fields() -> Fields:
        return ("exp_table", ArrayRef(table)), ("exp_entries", entries), ("depth", depth)

    region = RegionArg((0, 1), (0, graph.tensors[op.output].elements // depth))
    pointers = operands.read(op.input), operands.write(op.output)
    return KernelCall("tf_softmax_s8", "tf_softmax_s8_params", fields, (table,), pointers, region)


def whole_rows(graph: Graph, tensor: TensorId) -> RegionArg:
    """Return all rows and columns of a tensor, its batch counted as rows."""
    n, h, w, _ = nhwc(graph.tensors[tensor].shape)
    return RegionArg((0, n * h), (0, w))


def _float_edge(
    graph: Graph,
    op: Quantize | Dequantize | PullRows,
    quantized: TensorId,
    function: str,
    pointers: tuple[ArenaRef | ArrayRef, ...],
) -> KernelCall:
    def fields() -> Fields:
        low, high = graph.tensors[quantized].dtype.value_range
        quant = quant_of(graph, quantized)
        return (
            ("scale", quant.scale[0]),
            ("zero_point", quant.zero_point[0]),
            ("min", low),
            ("max", high),
            *row_fields(graph, op.output),
        )

    return KernelCall(function, "tf_quantize_params", fields, (), pointers, whole_rows(graph, op.output))


def row_fields(
    graph: Graph, tensor: TensorId, strides: tuple[str, ...] = ("in_row_stride", "out_row_stride")
) -> Fields:
    """Return the row strides, under these names, and the elements of a column of an operator that keeps shapes."""
    stride = row_stride(graph, tensor)
    elements = nhwc(graph.tensors[tensor].shape)[3]
    return *((name, stride) for name in strides), ("col_elements", elements)


def activation_suffix(graph: Graph, op: Node) -> str:
    """Return how kernels for the type of the output are named."""
    return "s16" if graph.tensors[op.output].dtype is DType.INT16 else "s8"


def _exps(graph: Graph, op: Softmax, entries: int) -> Values:
    """Return exp of 0, -1, -2, ... input steps."""
    return exp_of_difference(-np.arange(entries, dtype=np.int64), softmax_params(graph, op)).astype(np.int32)


def _byte_table(graph: Graph, op: TableOp) -> Values:
    """Return the table in the order of the input's bytes: an int8 input's negative half comes last."""
    table = lookup_table(graph, op).view(np.int8)
    low, _ = graph.tensors[op.input].dtype.value_range
    return np.roll(table, low)


def _pointers(op: Broadcasting, operands: Operands) -> tuple[ArenaRef | ArrayRef, ...]:
    return operands.read(op.inputs[0]), operands.read(op.inputs[1]), operands.write(op.output)


def _input_zero_points(graph: Graph, op: Add | Sub | Mul) -> Fields:
    first, second = (quant_of(graph, t).zero_point[0] for t in op.inputs)
    return ("in1_zero_point", first), ("in2_zero_point", second)


def _clamped_output(graph: Graph, op: Add | Sub | Mul) -> Fields:
    limits = activation_range(op.activation, quant_of(graph, op.output), graph.tensors[op.output].dtype)
    return output_fields(output_zero_point(graph, op), limits)


def _folded_shapes(graph: Graph, op: Broadcasting) -> tuple[Shape4, ...]:
    """Return the shapes of both inputs and the output; without broadcasting every row is one long column."""
    shapes = tuple(nhwc(graph.tensors[t].shape) for t in (*op.inputs, op.output))
    if len(set(shapes)) > 1:
        return shapes
    n, h, w, c = shapes[2]
    return ((n, h, 1, w * c),) * 3


def _broadcast_region(graph: Graph, op: Broadcasting) -> RegionArg:
    _, h, w, _ = _folded_shapes(graph, op)[2]
    return RegionArg((0, h), (0, w))


def _broadcast(graph: Graph, op: Broadcasting) -> Fields:
    """Return the initializer of a `tf_broadcast`: a stride of 0 where an input has the size 1."""
    first, second, size = _folded_shapes(graph, op)
    strides: list[tuple[str, FieldValue]] = [
        (name, tuple(0 if d == 1 else s for d, s in zip(shape, dense_strides(shape), strict=True)))
        for name, shape in (("in1_stride", first), ("in2_stride", second))
    ]
    return ("size", size), *strides, ("out_stride", dense_strides(size))
