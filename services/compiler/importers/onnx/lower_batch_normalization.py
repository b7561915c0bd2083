"""BatchNormalization that stands alone, as a 1x1 depthwise convolution with one scale a channel."""

from __future__ import annotations

from services.compiler.importers.onnx.batch_normalization import read_affine
from services.compiler.importers.onnx.layout import image_layout
from services.compiler.importers.onnx.lower_conv import ConvParts, emit_depthwise
from services.compiler.importers.onnx.lowering import Lowering
from services.compiler.importers.onnx.model import Node
from services.compiler.importers.onnx.refusals import unsupported
from services.compiler.importers.onnx.weights import Weights
from services.compiler.importers.onnx.windows import Windows
from services.compiler.ir.ops import Padding


def lower_batch_normalization(lowering: Lowering, node: Node) -> None:
    """Emit the depthwise convolution."""
    view = lowering.view(node)
    layout = image_layout(len(view.shape))
    if layout is None:
        raise unsupported(node, f"its input has rank {len(view.shape)}", "fold it into the layer before it")
    factor, offset = read_affine(lowering, node, view.shape[1])
    weights = Weights.from_real(factor.reshape(-1, 1, 1, 1))
    target, type_ = lowering.required_target(node)
    source = lowering.builder.in_layout(view, layout)
    _, height, width, _ = layout.stored_shape(view.shape)
    windows = Windows((1, 1), (1, 1), (1, 1), Padding(), (height, width))
    conv = ConvParts(node, source, weights, offset, windows, view.shape[1])
    lowering.bind(target.value, layout.restore(emit_depthwise(lowering, conv, target, type_), view.shape))
