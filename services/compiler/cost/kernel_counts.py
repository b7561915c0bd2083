"""What the time of kernel calls is linear in: counts known from shapes, by names such as `tf_conv2d_s8 macs`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from services.compiler.codegen.program import KernelCall
from services.compiler.cost.call_fields import numbers
from services.compiler.cost.image_sums_counts import image_sums_counts
from services.compiler.cost.movement_counts import movement_counts
from services.compiler.cost.thumb1_counts import thumb1_counts
from services.compiler.cost.thumb2_counts import thumb2_counts
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import (
    Add,
    AveragePool2D,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    Dequantize,
    FullyConnected,
    HardSwish,
    LeakyRelu,
    Logistic,
    Maximum,
    MaxPool2D,
    Mean,
    Minimum,
    Mul,
    Op,
    Pad,
    PRelu,
    Quantize,
    Relu,
    Reshape,
    ResizeBilinear,
    ResizeNearestNeighbor,
    RnnPool,
    Softmax,
    Split,
    StridedSlice,
    Sub,
    Sum,
    Table,
    Tanh,
    Transpose,
)
from services.compiler.ir.planned_ops import ImageSums, MeanOfSums, PoolOfSums, PullRows, TransposeImage
from services.compiler.ir.shapes import nhwc
from services.compiler.kernels.thumb1.files import NEEDS as THUMB1_KERNELS
from services.compiler.kernels.thumb2.files import NEEDS as THUMB2_KERNELS

Counts = dict[str, float]


def layer_counts(graph: Graph, op: Op, calls: tuple[KernelCall, ...]) -> Counts:
    """Return the counts that a layer's time is linear in, by names such as `tf_conv2d_s8 macs`."""
    counts: Counts = {}
    for call in calls:
        for name, count in _call_counts(graph, op, call):
            key = f"{call.function} {name}"
            counts[key] = counts.get(key, 0.0) + count
    return counts


def _call_counts(graph: Graph, op: Op, call: KernelCall) -> Iterator[tuple[str, float]]:
    yield "calls", 1
    match op:
        case _ if call.function == "tf_limit_s8":
            yield "elements", graph.tensors[op.output].elements
        case _ if call.function in THUMB2_KERNELS:
            yield from thumb2_counts(graph, op, call)
        case _ if call.function in THUMB1_KERNELS:
            yield from thumb1_counts(graph, op, call)
        case Conv2D():
            yield from _conv_counts(graph, op)
        case DepthwiseConv2D():
            yield from _depthwise_counts(graph, op, call)
        case FullyConnected():
            outputs, weights = graph.tensors[op.output].elements, graph.tensors[op.weights]
            yield "outputs", outputs
            yield "macs", outputs * (weights.elements // weights.shape[0])
        case AveragePool2D() | MaxPool2D():
            outputs = graph.tensors[op.output].elements
            yield "pixels", outputs // graph.tensors[op.output].shape[3]
            yield "outputs", outputs
            yield "rows", outputs * op.kernel_hw[0]
            yield "taps", outputs * op.kernel_hw[0] * op.kernel_hw[1]
        case Mean() | Sum():
            yield from _mean_counts(graph, op, call)
        case ImageSums():
            yield from image_sums_counts(call)
        case MeanOfSums() | PoolOfSums():
            yield "outputs", graph.tensors[op.output].elements
        case RnnPool():
            yield from _rnn_pool_counts(graph, op)
        case TransposeImage():
            image = graph.tensors[op.input]
            pixel = image.pixel_bytes
            yield "pixels", image.size_bytes // pixel
            yield ("bytes in registers" if pixel in (1, 3) else "bytes"), image.size_bytes
        case Pad() | Concatenation() | StridedSlice() | Split() | Transpose():
            yield from movement_counts(call, (call.region.rows,))
        case Add() | Sub() | Mul() | Maximum() | Minimum() | PRelu():
            same = len({graph.tensors[t].shape for t in (*op.inputs, op.output)}) == 1
            yield from _element_counts(graph, op, with_runs=True, folded=same)
        case ResizeNearestNeighbor() | ResizeBilinear() | Softmax():
            yield from _element_counts(graph, op, with_runs=True)
        case (
            Logistic() | Tanh() | HardSwish() | Relu() | LeakyRelu() | Table() | Quantize() | Dequantize() | PullRows()
        ):
            yield from _element_counts(graph, op)
        case Reshape():
            raise AssertionError(f"{call.function} is no kernel of {type(op).__name__}")
        case _:
            assert_never(op)


def _conv_counts(graph: Graph, op: Conv2D) -> Iterator[tuple[str, float]]:
    """Windows that lie inside the image run two filters at once; those that reach over its border do not."""
    channels, kernel_h, kernel_w, in_c = graph.tensors[op.weights].shape
    inside, border = _inside_and_border(graph, op)
    pairs = (channels + 1) // 2
    runs, length = (1, kernel_w * in_c) if op.dilation_hw[1] == 1 else (kernel_w, in_c)
    yield "pixels", inside + border
    yield "pairs", inside * pairs
    yield "rows", inside * pairs * kernel_h
    yield "runs", inside * pairs * kernel_h * runs
    yield "quads", inside * pairs * kernel_h * runs * (length // 4)
    yield "rest", inside * pairs * kernel_h * runs * (length % 4)
    yield "border outputs", border * channels
    yield "border runs", border * channels * kernel_h * runs
    yield "border macs", border * channels * kernel_h * runs * length


def _depthwise_counts(graph: Graph, op: DepthwiseConv2D, call: KernelCall) -> Iterator[tuple[str, float]]:
    _, kernel_h, kernel_w, _ = graph.tensors[op.weights].shape
    _, out_h, out_w, out_c = graph.tensors[op.output].shape
    outputs = out_h * out_w * out_c
    if call.function in ("tf_depthwise_conv2d_s8", "tf_depthwise_conv2d_s4", "tf_depthwise_conv2d_s16"):
        inside, border = _inside_and_border(graph, op)
        for name, pixels in (("", inside), ("border ", border)):
            yield f"{name}pixels", pixels
            yield f"{name}outputs", pixels * out_c
            yield f"{name}rows", pixels * out_c * kernel_h
            yield f"{name}macs", pixels * out_c * kernel_h * kernel_w
        return
    in_c = graph.tensors[op.input].shape[3]
    plane_h = (out_h - 1) * op.stride_hw[0] + (kernel_h - 1) * op.dilation_hw[0] + 1
    plane_w = (out_w - 1) * op.stride_hw[1] + (kernel_w - 1) * op.dilation_hw[1] + 1
    yield "channels", out_c
    yield "plane rows", in_c * plane_h
    yield "plane", in_c * plane_h * plane_w
    yield "output rows", out_c * out_h
    if call.function == "tf_depthwise_conv2d_plane_s4":
        yield "unpacked", out_c * kernel_h * kernel_w
    if (kernel_h, kernel_w) == (3, 3) and op.dilation_hw == (1, 1):
        yield "outputs 3x3", outputs
        return
    yield "outputs", outputs
    yield "rows", outputs * kernel_h
    yield "macs", outputs * kernel_h * kernel_w


def _rnn_pool_counts(graph: Graph, op: RnnPool) -> Iterator[tuple[str, float]]:
    """Sums over pixels and over states; `updates` are elements of a new state."""
    hidden, channels = graph.tensors[op.sweep[0]].shape
    summary = graph.tensors[op.summary[0]].shape[0]
    _, out_h, out_w, _ = graph.tensors[op.output].shape
    patches, pixels = out_h * out_w, out_h * out_w * op.kernel_hw[0] * op.kernel_hw[1]
    summary_steps = patches * 2 * sum(op.kernel_hw)
    yield "patches", patches
    yield "steps", 2 * pixels + summary_steps
    yield "updates", 2 * pixels * hidden + summary_steps * summary
    yield "pixel sums", pixels * hidden
    yield "pixel macs", pixels * hidden * channels
    yield "state sums", 2 * pixels * hidden + summary_steps * 2 * summary
    yield "state macs", 2 * pixels * hidden**2 + summary_steps * summary * (hidden + summary)


def _mean_counts(graph: Graph, op: Mean | Sum, call: KernelCall) -> Iterator[tuple[str, float]]:
    """Pixels of the output, its elements, runs of the inner loop, and its turns: by four, and one by one."""
    kept, (outer, inner) = numbers(call, "kept"), numbers(call, "reduced")
    outputs = graph.tensors[op.output].elements
    yield "pixels", outputs // kept[3]
    yield "outputs", outputs
    yield "runs", outputs * outer
    yield "quads", outputs * outer * (inner // 4)
    yield "rest", outputs * outer * (inner % 4)


def _inside_and_border(graph: Graph, op: Conv2D | DepthwiseConv2D) -> tuple[int, int]:
    """Return how many output pixels see only the image, and how many see padding too."""
    _, in_h, in_w, _ = graph.tensors[op.input].shape
    _, out_h, out_w, _ = graph.tensors[op.output].shape
    _, kernel_h, kernel_w, _ = graph.tensors[op.weights].shape
    starts = (op.padding.top, op.padding.left)
    sizes = ((in_h, out_h, kernel_h), (in_w, out_w, kernel_w))
    inside = 1
    for (size, out, kernel), start, stride, dilation in zip(sizes, starts, op.stride_hw, op.dilation_hw, strict=True):
        last = size - (kernel - 1) * dilation - 1
        inside *= sum(0 <= i * stride - start <= last for i in range(out))
    return inside, out_h * out_w - inside


def _element_counts(
    graph: Graph, op: Op, *, with_runs: bool = False, folded: bool = False
) -> Iterator[tuple[str, float]]:
    """Yield rows, for some kernels runs of elements in them, of which `folded` rows have one, and elements."""
    tensor = graph.tensors[op.output]
    n, h, w, _ = nhwc(tensor.shape)
    yield "rows", n * h
    if with_runs:
        yield "runs", n * h * (1 if folded else w)
    yield "elements", tensor.elements
