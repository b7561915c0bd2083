"""Calls of the element-wise Thumb-2 kernels that have parameters of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Add, Softmax, Sub
from services.compiler.ir.shapes import nhwc
from services.compiler.ir.tensor import TensorId
from services.compiler.kernels.thumb2 import files
from services.compiler.kernels.thumb2.add import Scaling, Sum, add_constant_name, add_name
from services.compiler.kernels.thumb2.requantize import offset
from services.compiler.quant.elementwise import add_params, input_shift
from services.compiler.quant.folding import constant_data
from services.compiler.quant.requantize import Multiplier, requantize
from services.compiler.quant.softmax import exp_of_difference, softmax_params
from services.compiler.quant.values import output_zero_point, quant_of
from services.compiler.schedule.thumb2 import repeated_constant, swapped_operands

# differences of two bytes that a softmax raises e to
_DIFFERENCES = 256


def add_call(graph: Graph, op: Add | Sub, operands: Operands) -> KernelCall:
    """Return the call of a sum or difference of two tensors."""
    swapped = swapped_operands(graph, op)
    plain, scaled = reversed(op.inputs) if swapped else op.inputs
    params = add_params(graph, op)
    multiplier = params.left if swapped else params.right
    shifted = multiplier.shift < 0
    sum_ = Sum.ADD if isinstance(op, Add) else Sum.FROM if swapped else Sum.SUB

    def fields() -> Fields:
        zero_points = (-quant_of(graph, t).zero_point[0] for t in (plain, scaled))
        shifts = -multiplier.shift - 1 if shifted else 0, -params.output.shift - 1
        last = *shifts, offset(output_zero_point(graph, op))
        return (
            ("add", Symbol(add_name(sum_, shifted=shifted))),
            ("values", (*zero_points, multiplier.value, params.output.value, *last)),
            ("plain_row_stride", operands.row_stride(plain)),
            ("scaled_row_stride", operands.row_stride(scaled)),
            ("out_row_stride", operands.row_stride(op.output)),
            ("channels", nhwc(graph.tensors[op.output].shape)[3]),
        )

    pointers = operands.read(plain), operands.read(scaled), operands.write(op.output)
    region = whole(graph.tensors[op.output])
    sources = (files.add_file(sum_, shifted=shifted),)
    return KernelCall("tf_add_thumb2_s8", "tf_add_thumb2_params", fields, (), pointers, region, sources)


@dataclass(frozen=True, slots=True)
class _BesideConstant:
    """A tensor and the constant that it is added to, each with its multiplier and the sign that it has in the sum."""

    x: TensorId
    constant: TensorId
    x_multiplier: Multiplier
    constant_multiplier: Multiplier
    x_sign: int
    constant_sign: int

    def scaling(self, graph: Graph) -> Scaling:
        """Return how x gets to the common scale."""
        if quant_of(graph, self.x).scale[0] >= quant_of(graph, self.constant).scale[0]:
            return Scaling.PLAIN
        return Scaling.SHIFTED if self.x_multiplier.shift < 0 else Scaling.SCALED

    def addends(self, graph: Graph, input_shift: int) -> Values:
        """Return the constant as it is added, doubled, with the zero point of x where its bytes are only shifted."""
        zero_point, x_zero_point = (quant_of(graph, t).zero_point[0] for t in (self.constant, self.x))
        raised = (constant_data(graph, self.constant).astype(np.int64).ravel() - zero_point) << input_shift
        doubled = 2 * requantize(raised, self.constant_multiplier.value, self.constant_multiplier.shift)
        less = x_zero_point << input_shift if self.scaling(graph) is Scaling.PLAIN else 0
        return (self.constant_sign * doubled - self.x_sign * less).astype(np.int32)


def _beside_constant(graph: Graph, op: Add | Sub) -> _BesideConstant:
    found = repeated_constant(graph, op)
    if found is None:
        raise AssertionError("asked for a constant that does not exist")
    params, second = add_params(graph, op), -1 if isinstance(op, Sub) else 1
    if found[0] == op.inputs[0]:
        return _BesideConstant(*found, params.left, params.right, 1, second)
    return _BesideConstant(*found, params.right, params.left, second, 1)


def add_constant_call(graph: Graph, op: Add | Sub, operands: Operands) -> KernelCall:
    """Return the call of a sum or difference of a tensor and a constant that repeats in it."""
    pair, params = _beside_constant(graph, op), add_params(graph, op)
    scaling, sum_ = pair.scaling(graph), Sum.ADD if pair.x_sign > 0 else Sum.SUB
    period = graph.tensors[pair.constant].elements
    array = ConstArray(
        f"{operands.label}_addends",
        Section.WEIGHTS,
        CType.INT32,
        period,
        lambda: pair.addends(graph, input_shift(graph, op)),
    )

    def fields() -> Fields:
        multipliers = pair.x_multiplier.value, params.output.value
        shifts = max(-pair.x_multiplier.shift - 1, 0), -params.output.shift - 1
        last = offset(output_zero_point(graph, op))
        return (
            ("add", Symbol(add_constant_name(sum_, scaling))),
            ("constants", ArrayRef(array)),
            ("values", (-quant_of(graph, pair.x).zero_point[0], *multipliers, *shifts, last)),
            ("period", period),
            ("x_row_stride", operands.row_stride(pair.x)),
            ("out_row_stride", operands.row_stride(op.output)),
            ("channels", nhwc(graph.tensors[op.output].shape)[3]),
        )

    return KernelCall(
        "tf_add_constant_thumb2_s8",
        "tf_add_constant_thumb2_params",
        fields,
        (array,),
        (operands.read(pair.x), operands.write(op.output)),
        whole(graph.tensors[op.output]),
        (files.add_constant_file(sum_, scaling),),
    )


def softmax_call(graph: Graph, op: Softmax, operands: Operands) -> KernelCall:
    """Return the call of a softmax over the last dimension."""
    depth = graph.tensors[op.output].shape[-1]
    table = ConstArray(f"{operands.label}_exp", Section.TABLE, CType.INT32, _DIFFERENCES, lambda: _exps(graph, op))

    def fields() -> Fields:
        return ("exps", ArrayRef(table)), ("depth", depth)

    region = RegionArg((0, 1), (0, graph.tensors[op.output].elements // depth))
    pointers = operands.read(op.input), operands.write(op.output)
    return KernelCall("tf_softmax_thumb2_s8", "tf_softmax_thumb2_params", fields, (table,), pointers, region)


def _exps(graph: Graph, op: Softmax) -> Values:
    """Return exp of -255 to 0 input steps; those that TFLite leaves out of its sums are 0."""
    params, differences = softmax_params(graph, op), np.arange(1 - _DIFFERENCES, 1, dtype=np.int64)
    exps = exp_of_difference(np.maximum(differences, params.diff_min), params)
    return np.where(differences >= params.diff_min, exps, 0).astype(np.int32)
