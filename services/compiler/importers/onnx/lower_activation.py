"""Relu and Clip where no producer takes them, and Softmax."""

from __future__ import annotations

from math import prod

import numpy as np

from services.compiler.importers.onnx.layout import as_is
from services.compiler.importers.onnx.lower_function import PROBABILITY, write_table
from services.compiler.importers.onnx.lowering import Lowering, moved_axes
from services.compiler.importers.onnx.model import Node
from services.compiler.importers.onnx.quantization import QuantType
from services.compiler.importers.onnx.refusals import invalid, unsupported
from services.compiler.importers.onnx.target import Target, activation_for
from services.compiler.importers.onnx.view import View, reshaped
from services.compiler.ir.activation import Activation
from services.compiler.ir.ops import Relu, Softmax


def lower_clamp(lowering: Lowering, node: Node) -> None:
    """Emit a Relu or Clip that no producer took; one that the type's range already makes is only another name."""
    view = lowering.view(node)
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
        write_table(lowering, node, view, lambda x: np.clip(x, *bounds))
        return
    if activation is Activation.NONE:
        lowering.bind(node.output, lowering.requantized(view, type_, node.output))
        return
    lowering.map_stored(
        view,
        node.output,
        type_,
        lambda out: Relu(name=node.name, inputs=(view.tensor,), outputs=(out,), activation=activation),
    )


def _absorbed(bounds: tuple[float, float], type_: QuantType) -> bool:
    low, high = type_.real_range
    return bounds[0] <= low and bounds[1] >= high


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
