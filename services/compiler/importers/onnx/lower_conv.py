"""Conv to Conv2D or DepthwiseConv2D: OHWI weights, explicit padding, 1-D as 2-D of height 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.compiler.importers.onnx.batch_normalization import read_affine
from services.compiler.importers.onnx.layout import image_layout
from services.compiler.importers.onnx.lowering import Lowering
from services.compiler.importers.onnx.model import Array, Node
from services.compiler.importers.onnx.quantization import QuantType
from services.compiler.importers.onnx.refusals import invalid, unsupported
from services.compiler.importers.onnx.target import Target
from services.compiler.importers.onnx.weights import Weights, add_bias, read_bias, read_weights
from services.compiler.importers.onnx.windows import Windows, read_windows
from services.compiler.ir.ops import Concatenation, Conv2D, DepthwiseConv2D, Split
from services.compiler.ir.tensor import TensorId


@dataclass(frozen=True, slots=True)
class ConvParts:
    """A convolution to emit: NHWC input, weights [O, I / groups, H, W] as in ONNX, bias one real number a channel."""

    node: Node
    source: TensorId
    weights: Weights
    bias: Array | None
    windows: Windows
    groups: int


def lower_conv(lowering: Lowering, node: Node) -> None:
    """Emit the convolution; groups that are not depthwise become a Split, a Conv2D each and a Concatenation."""
    view = lowering.view(node)
    layout = image_layout(len(view.shape))
    if layout is None:
        raise unsupported(node, f"its input has rank {len(view.shape)}", "use 1-D or 2-D convolutions")
    weights = read_weights(lowering, node, 1)
    channels, groups = view.shape[1], node.integer("group", 1)
    _check_channels(node, weights, view.shape, groups)
    weights = weights.reshaped(_four(weights.data.shape))
    windows = read_windows(node, weights.data.shape[2:], layout.lifted(view.shape)[2:])
    source = lowering.builder.in_layout(view, layout)
    bias = read_bias(lowering, node, 2, lowering.type_of(view), weights)
    last, weights, bias = _with_batch_normalization(lowering, node, weights, bias)
    target, type_ = lowering.required_target(last)
    conv = ConvParts(node, source, weights, bias, windows, groups)
    if groups == 1:
        output = _emit_conv(lowering, conv, target.value, target, type_)
    elif groups == channels:
        output = emit_depthwise(lowering, conv, target, type_)
    else:
        output = _emit_grouped(lowering, conv, target, type_)
    height, width = windows.output_hw
    spatial = (height, width) if len(view.shape) == 4 else (width,)
    result = layout.restore(output, (1, weights.data.shape[0], *spatial))
    lowering.bind(last.output, result)
    lowering.bind(target.value, result)


def _with_batch_normalization(
    lowering: Lowering, node: Node, weights: Weights, bias: Array | None
) -> tuple[Node, Weights, Array | None]:
    """Fold a batch normalization of the still unquantized result into the weights' scales and the bias."""
    after = lowering.lookahead.only_consumer(node.output)
    if after is None or after.op_type != "BatchNormalization":
        return node, weights, bias
    factor, offset = read_affine(lowering, after, weights.data.shape[0])
    return after, weights.times_each(factor), offset + (0 if bias is None else bias * factor)


def _check_channels(node: Node, quantized: Weights, data: tuple[int, ...], groups: int) -> None:
    weights = quantized.data.shape
    if len(weights) != len(data):
        raise invalid(f"the weights of {node.op_type} {node.name!r}", list(weights), f"must have rank {len(data)}")
    if quantized.axis not in (None, 0):
        raise unsupported(node, f"its weights have one scale for each index of axis {quantized.axis}", "use axis 0")
    if groups < 1 or weights[1] * groups != data[1] or weights[0] % groups:
        raise invalid(
            f"the weights of {node.op_type} {node.name!r}",
            f"{list(weights)} in {groups} groups",
            f"must fit the {data[1]} channels of the input",
        )


def _four(shape: Sequence[int]) -> tuple[int, ...]:
    """Return [O, I, W] as [O, I, 1, W]."""
    return (*shape[:2], 1, shape[2]) if len(shape) == 3 else tuple(shape)


def _output(lowering: Lowering, conv: ConvParts, name: str, channels: int, type_: QuantType) -> TensorId:
    return lowering.builder.add_typed(name, (1, *conv.windows.output_hw, channels), type_)


def _emit_conv(lowering: Lowering, conv: ConvParts, name: str, target: Target, type_: QuantType) -> TensorId:
    ohwi = conv.weights.transposed((0, 2, 3, 1))
    inputs = (conv.source, ohwi.add_to(lowering.builder), *add_bias(lowering, conv.source, ohwi, conv.bias))
    output = _output(lowering, conv, name, ohwi.data.shape[0], type_)
    lowering.builder.emit(
        Conv2D(
            name=conv.node.name,
            inputs=inputs,
            outputs=(output,),
            stride_hw=conv.windows.stride_hw,
            dilation_hw=conv.windows.dilation_hw,
            padding=conv.windows.padding,
            activation=target.activation,
        )
    )
    return output


def emit_depthwise(lowering: Lowering, conv: ConvParts, target: Target, type_: QuantType) -> TensorId:
    """Emit a depthwise convolution, weights as 1HWO, and return its output."""
    ihwo = conv.weights.transposed((1, 2, 3, 0))
    inputs = (conv.source, ihwo.add_to(lowering.builder), *add_bias(lowering, conv.source, ihwo, conv.bias))
    output = _output(lowering, conv, target.value, ihwo.data.shape[3], type_)
    lowering.builder.emit(
        DepthwiseConv2D(
            name=conv.node.name,
            inputs=inputs,
            outputs=(output,),
            stride_hw=conv.windows.stride_hw,
            dilation_hw=conv.windows.dilation_hw,
            padding=conv.windows.padding,
            activation=target.activation,
        )
    )
    return output


def _emit_grouped(lowering: Lowering, conv: ConvParts, target: Target, type_: QuantType) -> TensorId:
    node, builder = conv.node, lowering.builder
    source = builder.tensors[conv.source]
    part_shape = (*source.shape[:3], source.shape[3] // conv.groups)
    parts = tuple(
        builder.add(f"{source.name}/group_{g}", part_shape, source.dtype, source.quant) for g in range(conv.groups)
    )
    builder.emit(Split(name=f"{node.name}/split", inputs=(conv.source,), outputs=parts, axis=3))
    per_group = conv.weights.data.shape[0] // conv.groups
    results = []
    for group, part in enumerate(parts):
        rows = slice(group * per_group, (group + 1) * per_group)
        bias = None if conv.bias is None else conv.bias[rows]
        one = ConvParts(node, part, conv.weights.rows(rows), bias, conv.windows, 1)
        results.append(_emit_conv(lowering, one, f"{target.value}/group_{group}", target, type_))
    output = _output(lowering, conv, target.value, conv.weights.data.shape[0], type_)
    builder.emit(Concatenation(name=f"{node.name}/concat", inputs=tuple(results), outputs=(output,), axis=3))
    return output
