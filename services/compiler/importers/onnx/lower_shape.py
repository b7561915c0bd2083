"""Operators that only rename or reorder elements: they change the view and emit nothing."""

from __future__ import annotations

from math import prod

import numpy as np

from services.compiler.importers.onnx.lowering import Lowering, moved_axes
from services.compiler.importers.onnx.model import Node
from services.compiler.importers.onnx.quantization import Constant, QuantType
from services.compiler.importers.onnx.refusals import invalid, unsupported
from services.compiler.importers.onnx.view import View, reshaped
from services.compiler.ir.tensor import QuantParams


def lower_shape_op(lowering: Lowering, node: Node) -> None:
    """Bind the output to the input under another shape or axis order, for activations and constants alike."""
    value = lowering.value(node, 0)
    shape = value.shape if isinstance(value, View) else value.data.shape
    if node.op_type == "Transpose":
        order = lowering.axes(node, node.integers("perm", tuple(reversed(range(len(shape))))), len(shape))
        if sorted(order) != list(range(len(shape))):
            raise invalid(f"perm of Transpose {node.name!r}", order, f"must name each of {len(shape)} axes once")
        moved = _transposed(value, order) if isinstance(value, Constant) else moved_axes(lowering, value, order)
        lowering.bind(node.output, moved)
        return
    new_shape = _new_shape(lowering, node, shape)
    if prod(new_shape) != prod(shape):
        raise invalid(
            f"the shape that {node.op_type} {node.name!r} makes", new_shape, f"must hold {prod(shape)} elements"
        )
    lowering.bind(
        node.output, _reshaped(node, value, new_shape) if isinstance(value, Constant) else reshaped(value, new_shape)
    )


def lower_identity(lowering: Lowering, node: Node) -> None:
    """Bind the output to the input."""
    lowering.bind(node.output, lowering.value(node, 0))


def _transposed(constant: Constant, order: tuple[int, ...]) -> Constant:
    data = constant.data.transpose(order)
    type_ = constant.type
    if type_ is None or type_.quant.axis is None:
        return Constant(data, type_)
    quant = QuantParams(type_.quant.scale, type_.quant.zero_point, order.index(type_.quant.axis))
    return Constant(data, QuantType(type_.dtype, quant))


def _reshaped(node: Node, constant: Constant, shape: tuple[int, ...]) -> Constant:
    type_ = constant.type
    if type_ is None or type_.quant.axis is None:
        return Constant(constant.data.reshape(shape), type_)
    axis = type_.quant.axis
    before, size = prod(constant.data.shape[:axis]), constant.data.shape[axis]
    found = [a for a, d in enumerate(shape) if d == size and prod(shape[:a]) == before]
    if not found:
        raise unsupported(
            node, "it merges the channels of weights that have one scale each", "reshape before quantizing"
        )
    quant = QuantParams(type_.quant.scale, type_.quant.zero_point, found[-1])
    return Constant(constant.data.reshape(shape), QuantType(type_.dtype, quant))


def _new_shape(lowering: Lowering, node: Node, shape: tuple[int, ...]) -> tuple[int, ...]:
    rank = len(shape)
    match node.op_type:
        case "Reshape":
            return _reshape_to(node, lowering.integers(node, 1, "shape") or (), shape)
        case "Flatten":
            axis = node.integer("axis", 1)
            cut = axis + rank if axis < 0 else axis
            return prod(shape[:cut]), prod(shape[cut:])
        case "Squeeze":
            given = lowering.integers(node, 1, "axes")
            axes = (
                tuple(a for a, d in enumerate(shape) if d == 1) if given is None else lowering.axes(node, given, rank)
            )
            return tuple(d for a, d in enumerate(shape) if a not in axes)
        case _:
            given = lowering.integers(node, 1, "axes") or ()
            axes = lowering.axes(node, given, rank + len(given))
            sizes = iter(shape)
            return tuple(1 if a in axes else next(sizes, 0) for a in range(rank + len(given)))


def _reshape_to(node: Node, wanted: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Resolve 0 (copy the dimension) and one -1 (what is left)."""
    keep_zero = bool(node.integer("allowzero", 0))
    if not keep_zero and any(d == 0 and a >= len(shape) for a, d in enumerate(wanted)):
        raise invalid(f"the shape of Reshape {node.name!r}", wanted, f"0 copies one of {len(shape)} dimensions")
    sizes = [shape[a] if d == 0 and not keep_zero else d for a, d in enumerate(wanted)]
    if sizes.count(-1) > 1 or any(d < -1 or d == 0 for d in sizes):
        raise invalid(f"the shape of Reshape {node.name!r}", wanted, "must be sizes above 0 and at most one -1")
    known = prod(d for d in sizes if d != -1)
    return tuple(prod(shape) // known if d == -1 else d for d in sizes)


def lower_shape_of(lowering: Lowering, node: Node) -> None:
    """Bind Shape or Size of an activation to a constant."""
    value = lowering.value(node, 0)
    shape = value.shape if isinstance(value, View) else value.data.shape
    if node.op_type == "Size":
        lowering.bind(node.output, Constant(np.array(prod(shape), np.int64)))
        return
    start, end = node.integer("start", 0), node.integer("end", len(shape))
    lowering.bind(node.output, Constant(np.array(shape[start:end], np.int64)))


def lower_space_depth(lowering: Lowering, node: Node) -> None:
    """Bind DepthToSpace or SpaceToDepth to the view that reorders blocks (ONNX operator specification)."""
    view = lowering.view(node)
    block = node.integer("blocksize", 0)
    if len(view.shape) != 4 or block < 1:
        raise invalid(
            f"{node.op_type} {node.name!r}", f"rank {len(view.shape)}, blocksize {block}", "needs rank 4 and a block"
        )
    batch, channels, height, width = view.shape
    if node.op_type == "SpaceToDepth":
        cut = (batch, channels, height // block, block, width // block, block)
        order, result = (0, 3, 5, 1, 2, 4), (batch, channels * block * block, height // block, width // block)
    else:
        deep = channels // (block * block)
        column_first = node.text("mode", "DCR") == "DCR"
        cut = (batch, block, block, deep, height, width) if column_first else (batch, deep, block, block, height, width)
        order = (0, 3, 4, 1, 5, 2) if column_first else (0, 1, 4, 2, 5, 3)
        result = (batch, deep, height * block, width * block)
    if prod(cut) != prod(view.shape):
        raise invalid(f"the shape of {node.op_type} {node.name!r}", list(view.shape), f"must divide by block {block}")
    lowering.bind(node.output, reshaped(moved_axes(lowering, reshaped(view, cut), order), result))
