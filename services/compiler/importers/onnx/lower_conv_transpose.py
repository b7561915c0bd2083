"""ConvTranspose as a convolution whose channels are spread over pixels (see transposed_conv)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from services.compiler.importers.onnx.layout import NCHW_AS_NHWC, Layout, image_layout
from services.compiler.importers.onnx.lowering import Lowering, moved_axes
from services.compiler.importers.onnx.model import Array, Node
from services.compiler.importers.onnx.quantization import QuantType
from services.compiler.importers.onnx.refusals import invalid, unsupported
from services.compiler.importers.onnx.view import View, plain, reshaped
from services.compiler.importers.onnx.weights import Weights, add_bias, read_bias, read_weights
from services.compiler.importers.padding import Window
from services.compiler.importers.transposed_conv import Pair, Phases, phase_weights, phases
from services.compiler.ir.ops import Conv2D, StridedSlice
from services.compiler.ir.tensor import TensorId

_LARGEST_STRIDE = 64


@dataclass(frozen=True, slots=True)
class _Shape:
    """The forward convolution's window, what is cut off the full result above and left, and the result's size."""

    window: Window
    cut_hw: Pair
    output_hw: Pair


def lower_conv_transpose(lowering: Lowering, node: Node) -> None:
    """Emit Conv2D with the channels of all phases, depth to space as a view and, where the result is cut, a slice."""
    view = lowering.view(node)
    layout = image_layout(len(view.shape))
    if layout is None or node.integer("group", 1) != 1:
        raise unsupported(node, f"it has {node.integer('group', 1)} groups or no image", "use one group and an image")
    weights = _spread_kernel(node, _weights_ohwi(lowering, node, view.shape[1]))
    in_hw = (layout.lifted(view.shape)[2], layout.lifted(view.shape)[3])
    shape = _shape(node, (weights.data.shape[1], weights.data.shape[2]), in_hw)
    plan = phases(shape.window, shape.cut_hw, in_hw, shape.output_hw)
    target, type_ = lowering.required_target(node)
    source = lowering.builder.in_layout(view, layout)
    bias = read_bias(lowering, node, 2, lowering.type_of(view), weights)
    constants = _constants(lowering, source, (weights, bias), shape.window.stride_hw)
    channels, copies = weights.data.shape[0], shape.window.stride_hw[0] * shape.window.stride_hw[1]
    wide = lowering.builder.add_typed(f"{target.value}/phases", (1, *plan.output_hw, channels * copies), type_)
    lowering.builder.emit(
        Conv2D(
            name=node.name,
            inputs=(source, *constants),
            outputs=(wide,),
            padding=plan.padding,
            activation=target.activation,
        )
    )
    image = _spread(lowering, wide, plan, shape.window.stride_hw, channels)
    if (image.shape[2], image.shape[3]) != shape.output_hw:
        image = _cut(lowering, node, image, plan, (1, channels, *shape.output_hw))
    lowering.bind(target.value, reshaped(image, _declared(layout, channels, shape.output_hw)))


def _declared(layout: Layout, channels: int, output_hw: Pair) -> tuple[int, ...]:
    return (1, channels, *output_hw) if layout is NCHW_AS_NHWC else (1, channels, output_hw[1])


def _weights_ohwi(lowering: Lowering, node: Node, channels: int) -> Weights:
    weights = read_weights(lowering, node, 1)
    shape = weights.data.shape
    if len(shape) not in (3, 4) or shape[0] != channels or weights.axis not in (None, 1):
        raise unsupported(
            node,
            f"its weights are {list(shape)} with scales along {weights.axis}",
            "use [inputs, outputs, ...], axis 1",
        )
    four = weights.reshaped((*shape[:2], 1, shape[2]) if len(shape) == 3 else shape)
    return four.transposed((1, 2, 3, 0))


def _spread_kernel(node: Node, weights: Weights) -> Weights:
    """Return the kernel with a dilation's gaps filled by zeros."""
    steps = _pair(node, "dilations")
    if steps == (1, 1):
        return weights
    channels, height, width, inputs = weights.data.shape
    if max(steps) > _LARGEST_STRIDE:
        raise invalid(f"dilations of {node.op_type} {node.name!r}", steps, f"must be 1 to {_LARGEST_STRIDE}")
    wide = np.zeros((channels, (height - 1) * steps[0] + 1, (width - 1) * steps[1] + 1, inputs), weights.data.dtype)
    wide[:, :: steps[0], :: steps[1]] = weights.data
    return replace(weights, data=wide)


def _pair(node: Node, attribute: str, default: int = 1) -> Pair:
    """Return an attribute of height and width; one of width alone has a height of `default`."""
    match node.integers(attribute, (default, default)):
        case (width,) if width >= default:
            return default, width
        case (height, width) if min(height, width) >= default:
            return height, width
        case values:
            raise invalid(f"{attribute} of {node.op_type} {node.name!r}", values, f"must be {default} or more an axis")


def _shape(node: Node, kernel: Pair, in_hw: Pair) -> _Shape:
    """Source: ONNX operator specification of ConvTranspose (pads, output_padding, output_shape, auto_pad)."""
    stride, extra = _pair(node, "strides"), _pair(node, "output_padding", 0)
    if max(stride) > _LARGEST_STRIDE:
        raise invalid(f"strides of {node.op_type} {node.name!r}", stride, f"must be 1 to {_LARGEST_STRIDE}")
    full = tuple((i - 1) * s + k + e for i, s, k, e in zip(in_hw, stride, kernel, extra, strict=True))
    before, output = _cuts(node, (full[0], full[1]), in_hw, stride)
    if not all(b >= 0 and 0 < o <= f - b for b, o, f in zip(before, output, full, strict=True)):
        raise invalid(f"the output of {node.op_type} {node.name!r}", output, f"must lie in the full result {full}")
    return _Shape(Window(kernel, stride), before, output)


def _cuts(node: Node, full: Pair, in_hw: Pair, stride: Pair) -> tuple[Pair, Pair]:
    """Return what is cut off above and left, and the output's size."""
    mode, wanted = node.text("auto_pad", "NOTSET"), node.integers("output_shape", ())
    if mode in ("SAME_UPPER", "SAME_LOWER") or wanted:
        height, width = (1, *wanted)[-2:] if wanted else (in_hw[0] * stride[0], in_hw[1] * stride[1])
        totals = max(0, full[0] - height), max(0, full[1] - width)
        upper = mode == "SAME_UPPER"
        before = [t // 2 if upper else t - t // 2 for t in totals]
        return (before[0], before[1]), (height, width)
    match node.integers("pads", ()) if mode in ("NOTSET", "") else ():
        case ():
            return (0, 0), full
        case (left, right):
            return (0, left), (full[0], full[1] - left - right)
        case (top, left, bottom, right):
            return (top, left), (full[0] - top - bottom, full[1] - left - right)
        case pads:
            raise invalid(f"pads of {node.op_type} {node.name!r}", pads, "must have two entries an image axis")


def _constants(
    lowering: Lowering, source: TensorId, parts: tuple[Weights, Array | None], stride: Pair
) -> tuple[TensorId, ...]:
    """Add the weights of all phases and the bias of each, and return their ids."""
    weights, bias = parts
    copies = stride[0] * stride[1]
    scales = weights.scales if weights.axis is None else weights.scales * copies
    wide = replace(weights, data=phase_weights(weights.data, stride), scales=scales)
    biases = None if bias is None else np.tile(bias, copies)
    return wide.add_to(lowering.builder), *add_bias(lowering, source, wide, biases)


def _source_type(lowering: Lowering, source: TensorId) -> QuantType:
    type_ = lowering.builder.type_of(source)
    assert type_ is not None  # it is a quantized view
    return type_


def _spread(lowering: Lowering, wide: TensorId, plan: Phases, stride: Pair, channels: int) -> View:
    """Return the channels [stride_h, stride_w, C] of every pixel as a block of pixels, [1, C, H, W]."""
    (height, width), (block_h, block_w) = plan.output_hw, stride
    blocks = plain(wide, (1, height, width, block_h, block_w, channels))
    moved = moved_axes(lowering, blocks, (0, 5, 1, 3, 2, 4))
    return reshaped(moved, (1, channels, height * block_h, width * block_w))


def _cut(lowering: Lowering, node: Node, image: View, plan: Phases, shape: tuple[int, ...]) -> View:
    source = lowering.builder.in_layout(image, NCHW_AS_NHWC)
    stored, type_ = NCHW_AS_NHWC.stored_shape(shape), _source_type(lowering, source)
    output = lowering.builder.add_typed(f"{node.output}/cut", stored, type_)
    begin = (0, *plan.crop_hw, 0)
    end = tuple(b + size for b, size in zip(begin, stored, strict=True))
    lowering.builder.emit(
        StridedSlice(name=node.name, inputs=(source,), outputs=(output,), begin=begin, end=end, strides=(1, 1, 1, 1))
    )
    return NCHW_AS_NHWC.restore(output, shape)
