"""Add, Sub, Mul and Div, with broadcasting and constants, in whichever layout the operands already have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

import numpy as np

from services.compiler.importers.onnx.layout import Layout
from services.compiler.importers.onnx.lower_factors import lower_factors
from services.compiler.importers.onnx.lower_function import write_table
from services.compiler.importers.onnx.lowering import Lowering, Value
from services.compiler.importers.onnx.model import Node
from services.compiler.importers.onnx.quantization import Constant, quantize_constant
from services.compiler.importers.onnx.refusals import invalid, unsupported
from services.compiler.importers.onnx.target import Target
from services.compiler.importers.onnx.view import View, reshaped
from services.compiler.ir.ops import Add, Mul, Sub
from services.compiler.ir.tensor import TensorId


def lower_binary(lowering: Lowering, node: Node) -> None:
    """Emit the operator on stored tensors where both operands are in the same order, else in the cheapest layout."""
    shape = _broadcast(lowering, node)
    if _with_number(lowering, node, shape) or lower_factors(lowering, node):
        return
    operands = [lowering.operand(node, i, shape) for i in (0, 1)]
    if node.op_type == "Div":
        operands[1] = _reciprocal(node, operands[1])
    views = [operand for operand in operands if isinstance(operand, View)]
    if not views:
        raise unsupported(node, "both of its inputs are constants", "fold it before export")
    target, type_ = lowering.required_target(node)
    if _can_stay(lowering, operands, views):
        inputs = [_as_stored(lowering, node, i, operand, views[0]) for i, operand in enumerate(operands)]
        lowering.map_stored(views[0], target.value, type_, lambda out: _op(node, inputs, out, target))
        return
    layout = lowering.builder.cheapest_layout([v for v in views if v.shape == shape] or views, len(shape))
    inputs = [_in_layout(lowering, node, i, operand, layout) for i, operand in enumerate(operands)]
    lowering.write(target.value, shape, layout, type_, lambda out: _op(node, inputs, out, target))


def _with_number(lowering: Lowering, node: Node, shape: tuple[int, ...]) -> bool:
    """Emit the table of an operator with one number beside an activation; say whether it was one."""
    values = [lowering.value(node, i) for i in (0, 1)]
    numbers = [v for v in values if isinstance(v, Constant) and v.data.size == 1]
    if len(numbers) != 1 or not any(isinstance(v, View) for v in values):
        return False
    number, index = float(numbers[0].real().reshape(-1)[0]), values.index(numbers[0])
    if not isfinite(number) or (node.op_type == "Div" and index == 1 and number == 0):
        raise invalid(f"the number of {node.op_type} {node.name!r}", number, "must be finite, a divisor not 0")
    view = lowering.view(node, 1 - index)
    wide = reshaped(view, (1,) * (len(shape) - len(view.shape)) + view.shape)
    function = _NUMERIC[node.op_type]
    write_table(lowering, node, wide, (lambda x: function(x, number)) if index else lambda x: function(number, x))
    return True


_NUMERIC: dict[str, Callable[[Any, Any], Any]] = {
    "Add": np.add,
    "Div": np.divide,
    "Mul": np.multiply,
    "Pow": np.power,
    "Sub": np.subtract,
}


def lower_pow(lowering: Lowering, node: Node) -> None:
    """Emit Pow with a number as base or exponent."""
    if not _with_number(lowering, node, _broadcast(lowering, node)):
        raise unsupported(node, "neither base nor exponent is one number", "use a constant exponent")


def _broadcast(lowering: Lowering, node: Node) -> tuple[int, ...]:
    values = [lowering.value(node, i) for i in (0, 1)]
    shapes = [v.shape if isinstance(v, View) else v.data.shape for v in values]
    try:
        return tuple(np.broadcast_shapes(*shapes))
    except ValueError as error:
        raise invalid(f"the shapes of {node.op_type} {node.name!r}", shapes, "must broadcast") from error


def _reciprocal(node: Node, operand: Value) -> Constant:
    if isinstance(operand, View):
        raise unsupported(node, "its divisor is not a constant", "multiply by the reciprocal instead")
    real = operand.real()
    if not np.all(np.isfinite(real)) or np.any(real == 0):
        raise invalid(
            f"the divisor of {node.op_type} {node.name!r}", "0 or not finite", "must be a number that is not 0"
        )
    return quantize_constant(1.0 / real)


def _can_stay(lowering: Lowering, operands: Sequence[Value], views: Sequence[View]) -> bool:
    """Whether all activations store their elements alike and constants are single numbers."""
    if any(isinstance(operand, Constant) and operand.data.size != 1 for operand in operands):
        return False
    first, stored = views[0], lowering.builder.stored_shape
    return all(v.same_order(first) and stored(v) == stored(first) for v in views[1:])


def _as_stored(lowering: Lowering, node: Node, index: int, operand: Value, like: View) -> TensorId:
    if isinstance(operand, View):
        return operand.tensor
    rank = len(lowering.builder.stored_shape(like))
    return _constant(lowering, node, index, Constant(operand.data.reshape((1,) * rank), operand.type))


def _in_layout(lowering: Lowering, node: Node, index: int, operand: Value, layout: Layout) -> TensorId:
    if isinstance(operand, View):
        return lowering.builder.in_layout(operand, layout)
    return _constant(lowering, node, index, Constant(layout.array(operand.data), operand.type))


def _constant(lowering: Lowering, node: Node, index: int, constant: Constant) -> TensorId:
    assert constant.type is not None  # `operand` quantizes constants
    return lowering.builder.add_constant(node.inputs[index], constant.data, constant.type.dtype, constant.type.quant)


def _op(node: Node, inputs: Sequence[TensorId], output: TensorId, target: Target) -> Add | Sub | Mul:
    match node.op_type:
        case "Add":
            kind: type[Add] | type[Sub] | type[Mul] = Add
        case "Sub":
            kind = Sub
        case _:
            kind = Mul
    return kind(name=node.name, inputs=tuple(inputs), outputs=(output,), activation=target.activation)
