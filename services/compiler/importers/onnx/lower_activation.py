"""Element-wise functions of one value, and Softmax."""

from __future__ import annotations

from math import inf, prod

import numpy as np

from services.compiler.importers.onnx.layout import as_is
from services.compiler.importers.onnx.lowering import NOT_QUANTIZED, Lowering, moved_axes
from services.compiler.importers.onnx.model import Node
from services.compiler.importers.onnx.quantization import QuantType, quantize_constant
from services.compiler.importers.onnx.refusals import invalid, unsupported
from services.compiler.importers.onnx.target import Target, activation_for
from services.compiler.importers.onnx.view import View, reshaped
from services.compiler.ir.ops import Activation, Add, HardSwish, LeakyRelu, Logistic, Mul, Relu, Softmax, Tanh
from services.compiler.ir.tensor import DType, QuantParams, TensorId

# TFLite fixes the output of these (8-bit quantization specification).
PROBABILITY = QuantType(DType.INT8, QuantParams((1 / 256,), (-128,)))
SYMMETRIC_UNIT = QuantType(DType.INT8, QuantParams((1 / 128,), (0,)))


def lower_clamp(lowering: Lowering, node: Node) -> None:
    """Emit a Relu or Clip that no producer took; one that the type's range already makes is only another name."""
    view = _quantized_early(lowering, node)
    source_type = lowering.type_of(view)
    bounds = lowering.lookahead.bounds(node)
    if bounds is None:
        raise unsupported(node, "its bounds are not constants", "clamp between two numbers")
    type_ = lowering.lookahead.type_of(node.output) or source_type
    activation = activation_for(bounds, type_)
    if type_ == source_type and (activation is Activation.NONE or _absorbed(bounds, type_)):
        lowering.bind(node.output, view)
        return
    if activation is None:
        view, activation = _clamped_by_range(lowering, node, view, bounds), Activation.NONE
    if activation is Activation.NONE:
        lowering.bind(node.output, lowering.requantized(view, type_, node.output))
        return
    lowering.map_stored(
        view,
        node.output,
        type_,
        lambda out: Relu(name=node.name, inputs=(view.tensor,), outputs=(out,), activation=activation),
    )


def _quantized_early(lowering: Lowering, node: Node) -> View:
    """Return the input; a float model input is quantized before the clamp in the type that it has after it."""
    value = lowering.value(node, 0)
    type_ = lowering.lookahead.type_of(node.output)
    if isinstance(value, View) and type_ is not None and lowering.builder.type_of(value.tensor) is None:
        return lowering.quantized_input(value, type_, f"{node.inputs[0]}/quantized")
    return lowering.view(node)


def _absorbed(bounds: tuple[float, float], type_: QuantType) -> bool:
    low, high = type_.real_range
    return bounds[0] <= low and bounds[1] >= high


def _clamped_by_range(lowering: Lowering, node: Node, view: View, bounds: tuple[float, float]) -> View:
    """Clamp between 0 and any number by a type whose range is exactly that."""
    low, high = bounds
    if low != 0.0 or not 0 < high < inf:
        raise unsupported(node, f"it clamps to {low:g}..{high:g}", "use Relu, Relu6, -1..1 or 0..any number")
    type_ = QuantType(DType.INT8, QuantParams((high / 255.0,), (-128,)))
    return lowering.requantized(view, type_, f"{node.output}/clamped")


def lower_sigmoid(lowering: Lowering, node: Node) -> None:
    """Emit Logistic; its output is in 256ths."""
    _lower_fixed(lowering, node, PROBABILITY, lambda v, out: Logistic(name=node.name, inputs=(v,), outputs=(out,)))


def lower_tanh(lowering: Lowering, node: Node) -> None:
    """Emit Tanh; its output is in 128ths."""
    _lower_fixed(lowering, node, SYMMETRIC_UNIT, lambda v, out: Tanh(name=node.name, inputs=(v,), outputs=(out,)))


def _lower_fixed(lowering: Lowering, node: Node, type_: QuantType, make) -> None:  # type: ignore[no-untyped-def]
    view = lowering.view(node)
    lowering.map_stored(view, node.output, type_, lambda out: make(view.tensor, out))


def lower_hard_swish(lowering: Lowering, node: Node) -> None:
    """Emit HardSwish."""
    view = lowering.view(node)
    target = lowering.lookahead.type_of(node.output)
    if target is None:
        raise unsupported(node, f"its output {node.output!r} is not quantized", NOT_QUANTIZED)
    lowering.map_stored(
        view, node.output, target, lambda out: HardSwish(name=node.name, inputs=(view.tensor,), outputs=(out,))
    )


def lower_hard_sigmoid(lowering: Lowering, node: Node) -> None:
    """Emit max(0, min(1, alpha * x + beta)) as alpha * clamp(x + beta / alpha): the sum's range makes the clamp."""
    view = lowering.view(node)
    alpha, beta = node.real("alpha", 0.2), node.real("beta", 0.5)
    if not alpha > 0:
        raise unsupported(node, f"its alpha is {alpha}", "use an alpha above 0")
    type_ = lowering.lookahead.type_of(node.output) or PROBABILITY
    clamped = QuantType(DType.INT8, QuantParams((1 / alpha / 255,), (-128,)))
    offset, factor = (
        _number(lowering, view, f"{node.name}/{n}", v) for n, v in (("beta", beta / alpha), ("alpha", alpha))
    )
    middle = f"{node.output}/clamped"
    lowering.map_stored(
        view, middle, clamped, lambda out: Add(name=f"{node.name}/add", inputs=(view.tensor, offset), outputs=(out,))
    )
    summed = lowering.values[middle]
    assert isinstance(summed, View)  # just written
    lowering.map_stored(
        summed, node.output, type_, lambda out: Mul(name=node.name, inputs=(summed.tensor, factor), outputs=(out,))
    )


def _number(lowering: Lowering, like: View, name: str, value: float) -> TensorId:
    rank = len(lowering.builder.stored_shape(like))
    constant = quantize_constant(np.full((1,) * rank, value))
    assert constant.type is not None  # `quantize_constant` sets it
    return lowering.builder.add_constant(name, constant.data, constant.type.dtype, constant.type.quant)


def lower_leaky_relu(lowering: Lowering, node: Node) -> None:
    """Emit LeakyRelu."""
    view = lowering.view(node)
    alpha = node.real("alpha", 0.01)
    type_ = lowering.lookahead.type_of(node.output) or lowering.type_of(view)
    lowering.map_stored(
        view,
        node.output,
        type_,
        lambda out: LeakyRelu(name=node.name, inputs=(view.tensor,), outputs=(out,), alpha=alpha),
    )


def lower_softmax(lowering: Lowering, node: Node) -> None:
    """Emit Softmax over the last stored axis; before opset 13 it runs over all axes from `axis` on."""
    view = lowering.view(node)
    rank, old = len(view.shape), lowering.model.opset < 13
    (axis,) = lowering.axes(node, (node.integer("axis", 1 if old else -1),), rank) if rank else (0,)
    if not rank:
        raise invalid(f"the input of Softmax {node.name!r}", "a scalar", "must have an axis")
    order = (*(a for a in range(rank) if a != axis), axis)
    if old and axis != rank - 1:
        moved = reshaped(view, (prod(view.shape[:axis]), prod(view.shape[axis:])))
        order = ()
    else:
        moved = moved_axes(lowering, view, order)
    source = lowering.builder.store(moved)
    target = Target(node.output, PROBABILITY)
    lowering.write(
        target.value,
        moved.shape,
        as_is(len(moved.shape)),
        PROBABILITY,
        lambda out: Softmax(name=node.name, inputs=(source,), outputs=(out,)),
    )
    result = lowering.values[node.output]
    assert isinstance(result, View)  # just written
    back = moved_axes(lowering, result, tuple(order.index(a) for a in range(rank))) if order else result
    lowering.bind(node.output, reshaped(back, view.shape))
