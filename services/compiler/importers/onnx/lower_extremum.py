"""Max and Min, PRelu: element-wise operators of two values that keep or change a quantization."""

from __future__ import annotations

import numpy as np

from services.compiler.importers.onnx.lower_function import write_table
from services.compiler.importers.onnx.lowering import Lowering
from services.compiler.importers.onnx.model import Node
from services.compiler.importers.onnx.quantization import Constant, quantize_constant
from services.compiler.importers.onnx.refusals import invalid, unsupported
from services.compiler.importers.onnx.view import View, reshaped
from services.compiler.ir.ops import Maximum, Minimum, PRelu


def lower_extremum(lowering: Lowering, node: Node) -> None:
    """Emit Max or Min: a table beside a number, else both sides in the output's type (rounding keeps their order)."""
    pair = [lowering.value(node, i) for i in range(len(node.inputs))]
    views = [v for v in pair if isinstance(v, View)]
    numbers = [v for v in pair if isinstance(v, Constant)]
    pick = np.maximum if node.op_type == "Max" else np.minimum
    if len(pair) == 2 and len(views) == len(numbers) == 1 and numbers[0].data.size == 1:
        limit = float(numbers[0].real().reshape(-1)[0])
        rank = max(len(views[0].shape), numbers[0].data.ndim)
        view = lowering.view(node, pair.index(views[0]))
        wide = reshaped(view, (1,) * (rank - len(view.shape)) + view.shape)
        write_table(lowering, node, wide, lambda x: pick(x, limit))
        return
    if len(views) != 2 or len(pair) != 2:
        raise unsupported(node, f"it has {len(views)} computed inputs of {len(pair)}", "use two, or one and a number")
    sides = [lowering.view(node, i) for i in (0, 1)]
    shape = _broadcast(node, sides)
    type_ = lowering.lookahead.type_of(node.output) or lowering.type_of(sides[0])
    same = [
        lowering.requantized(
            reshaped(v, (1,) * (len(shape) - len(v.shape)) + v.shape), type_, f"{node.inputs[i]}/requantized"
        )
        for i, v in enumerate(sides)
    ]
    layout = lowering.builder.cheapest_layout([v for v in same if v.shape == shape] or same, len(shape))
    sources = tuple(lowering.builder.in_layout(v, layout) for v in same)
    kind = Maximum if node.op_type == "Max" else Minimum
    lowering.write(node.output, shape, layout, type_, lambda out: kind(name=node.name, inputs=sources, outputs=(out,)))


def _broadcast(node: Node, views: list[View]) -> tuple[int, ...]:
    shapes = [v.shape for v in views]
    try:
        return tuple(np.broadcast_shapes(*shapes))
    except ValueError as error:
        raise invalid(f"the shapes of {node.op_type} {node.name!r}", shapes, "must broadcast") from error


def lower_prelu(lowering: Lowering, node: Node) -> None:
    """Emit PRelu with constant slopes: a table where there is one slope."""
    view, slope = lowering.view(node), lowering.constant(node, 1)
    if slope.data.size == 1:
        alpha = float(slope.real().reshape(-1)[0])
        write_table(lowering, node, view, lambda x: np.where(x < 0, alpha * x, x))
        return
    rank = len(view.shape)
    wide = slope.data.reshape((1,) * (rank - slope.data.ndim) + slope.data.shape) if slope.data.ndim <= rank else None
    if wide is None or any(s not in (1, d) for s, d in zip(wide.shape, view.shape, strict=True)):
        raise invalid(f"the slopes of PRelu {node.name!r}", list(slope.data.shape), f"must broadcast to {view.shape}")
    held = quantize_constant(slope.real().reshape(wide.shape))
    assert held.type is not None  # `quantize_constant` sets it
    layout = lowering.builder.cheapest_layout([view], rank)
    source = lowering.builder.in_layout(view, layout)
    alphas = lowering.builder.add_constant(node.inputs[1], layout.array(held.data), held.type.dtype, held.type.quant)
    type_ = lowering.lookahead.type_of(node.output) or lowering.type_of(view)
    lowering.write(
        node.output,
        view.shape,
        layout,
        type_,
        lambda out: PRelu(name=node.name, inputs=(source, alphas), outputs=(out,)),
    )
