"""One factor and one offset a channel, as a 1x1 depthwise convolution with one scale a channel.

That of a BatchNormalization which stands alone, or of a product with real numbers: as int8 constants of one scale the
small ones among them would be lost.
"""

from __future__ import annotations

import numpy as np

from services.compiler.importers.onnx.batch_normalization import read_affine
from services.compiler.importers.onnx.layout import image_layout
from services.compiler.importers.onnx.lower_conv import ConvParts, emit_depthwise
from services.compiler.importers.onnx.lowering import Lowering
from services.compiler.importers.onnx.model import Array, Node
from services.compiler.importers.onnx.quantization import Constant
from services.compiler.importers.onnx.refusals import unsupported
from services.compiler.importers.onnx.view import View
from services.compiler.importers.onnx.weights import Weights
from services.compiler.importers.onnx.windows import Windows
from services.compiler.ir.ops import Padding
from services.compiler.ir.tensor import DType


def lower_batch_normalization(lowering: Lowering, node: Node) -> None:
    """Emit the depthwise convolution."""
    view = lowering.view(node)
    if image_layout(len(view.shape)) is None:
        raise unsupported(node, f"its input has rank {len(view.shape)}", "fold it into the layer before it")
    _emit(lowering, node, view, *read_affine(lowering, node, view.shape[1]))


def lower_factors(lowering: Lowering, node: Node) -> bool:
    """Emit a Mul or Div of an image and one real number a channel; say whether it was one."""
    values = [lowering.value(node, i) for i in (0, 1)]
    index = 1 if isinstance(values[1], Constant) else 0
    view, factors = values[1 - index], values[index]
    if not isinstance(view, View) or not isinstance(factors, Constant) or (node.op_type == "Div" and index == 0):
        return False
    if node.op_type not in ("Mul", "Div") or _is_int8(factors) or not _is_one_a_channel(view, factors):
        return False
    real = factors.real().reshape(-1)
    if not np.all(np.isfinite(real)) or (node.op_type == "Div" and np.any(real == 0)):
        return False
    factor = real if node.op_type == "Mul" else 1.0 / real
    _emit(lowering, node, lowering.view(node, 1 - index), factor, None)
    return True


def _is_int8(value: Constant) -> bool:
    return value.type is not None and value.type.dtype is DType.INT8 and not value.type.quant.per_channel


def _is_one_a_channel(view: View, factors: Constant) -> bool:
    rank = len(view.shape)
    if image_layout(rank) is None or factors.data.ndim > rank:
        return False
    shape = (1,) * (rank - factors.data.ndim) + factors.data.shape
    return shape == tuple(size if axis == 1 else 1 for axis, size in enumerate(view.shape))


def _emit(lowering: Lowering, node: Node, view: View, factor: Array, offset: Array | None) -> None:
    layout = image_layout(len(view.shape))
    assert layout is not None  # the callers have checked it
    weights = Weights.from_real(factor.reshape(-1, 1, 1, 1))
    target, type_ = lowering.required_target(node)
    source = lowering.builder.in_layout(view, layout)
    _, height, width, _ = layout.stored_shape(view.shape)
    windows = Windows((1, 1), (1, 1), (1, 1), Padding(), (height, width))
    conv = ConvParts(node, source, weights, offset, windows, view.shape[1])
    lowering.bind(target.value, layout.restore(emit_depthwise(lowering, conv, target, type_), view.shape))
