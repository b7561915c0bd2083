"""Which operators the Thumb-2 kernels cover, and the scratch they want: known before anything is placed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import dropwhile
from math import prod

import numpy as np

from services.compiler.ir.alone import remembered
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import (
    Add,
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    MaxPool2D,
    Mean,
    Mul,
    Op,
    Padding,
    Quantize,
    Softmax,
    Sub,
)
from services.compiler.ir.tensor import DType, TensorId
from services.compiler.kernels.thumb2.depthwise import plane_width, supported
from services.compiler.kernels.thumb2.depthwise_shape import DepthwiseShape
from services.compiler.kernels.thumb2.dot_wide import packs_wide, packs_wide_depthwise
from services.compiler.kernels.thumb2.gather import ColumnsShape, GatherShape
from services.compiler.kernels.thumb2.pack import padded_depth, separable
from services.compiler.kernels.thumb2.requantize import MAX_FUSED_SHIFT, MAX_LEFT_SHIFT, MAX_RIGHT_SHIFT
from services.compiler.quant.channels import ChannelArithmetic, channel_arithmetic
from services.compiler.quant.convolution import is_relu, op_multipliers, sums_are_wide
from services.compiler.quant.elementwise import add_params, mul_multiplier
from services.compiler.quant.fixed_point import Int64s
from services.compiler.quant.folding import Weighted, constant_data, output_channels
from services.compiler.quant.requantize import activation_range, as_arrays, reduced
from services.compiler.quant.values import Array, quant_of
from services.compiler.schedule.pixel_blocks import PixelBlocks
from services.compiler.schedule.plane import ChunkedPlane

# Scratch grows from the least, which is always given, to the most, where the arena has room (memory/scratch.py):
# a depthwise plane that does not hold all rows is cut in chunks, each of which costs a few instructions a channel.
_LEAST_PLANE_BYTES = 1024
# pixels whose bytes add up to 16 bits
_MOST_AVERAGED = 255
_WEIGHT_BITS = {DType.INT4: 4, DType.INT8: 8}
# bytes of a row that a routine for patches can step over at once
_MOST_ROW_BYTES = 0xFFFF

Extent = tuple[int, int]


@remembered
def scratch_sizes(graph: Graph, op: Op, extent: Extent | None = None) -> tuple[int, ...]:
    """Return the sizes of scratch that the operator's kernel can use, upwards: the first is what it needs.

    Empty where it needs none or the set does not cover the operator. More scratch is never slower. `extent` are the
    output rows and columns that one call computes, all if None.
    """
    rows = None if extent is None else extent[0]
    match op:
        case Conv2D() if matrix_depth(graph, op) is not None:
            return pixel_blocks(graph, op, rows).sizes()
        case FullyConnected() if (depth := matrix_depth(graph, op)) is not None:
            return (2 * padded_depth(depth),)
        case Conv2D() | FullyConnected() if (depth := wide_depth(graph, op)) is not None:
            return (2 * padded_depth(depth),)
        case DepthwiseConv2D() if (plan := depthwise_plan(graph, op, extent)) is not None:
            return plan.plane(rows).sizes()
        case _:
            return ()


@remembered
def wanted_scratch(graph: Graph, op: Op, extent: Extent | None = None) -> int:
    """Return the scratch for which a somewhat larger arena is worth its bytes; 0 where none is."""
    match op:
        case Conv2D() if matrix_depth(graph, op) is not None:
            return pixel_blocks(graph, op, None if extent is None else extent[0]).wanted_bytes()
        case _:
            return 0


def pixel_blocks(graph: Graph, op: Conv2D, rows: int | None = None) -> PixelBlocks:
    """Return how a convolution of so many rows (None is all) can be cut; strided 1x1 kernels end a run with a row."""
    _, height, out_w, channels = graph.tensors[op.output].shape
    out_h = height if rows is None else rows
    depth = padded_depth(prod(graph.tensors[op.weights].shape[1:]))
    pointwise = is_pointwise(graph, op)
    runs, length = (out_h, out_w) if pointwise and op.stride_hw != (1, 1) else (1, out_h * out_w)
    return PixelBlocks(runs, length, depth, channels, not pointwise, weight_bits(graph, op))


def weight_bits(graph: Graph, op: Conv2D | DepthwiseConv2D | FullyConnected) -> int:
    """Return the bits of a weight that these kernels cover."""
    return _WEIGHT_BITS[graph.tensors[op.weights].dtype]


def is_pointwise(graph: Graph, op: Conv2D) -> bool:
    """Whether every window is one whole pixel whose values fill words."""
    _, kernel_h, kernel_w, in_c = graph.tensors[op.weights].shape
    return (kernel_h, kernel_w) == (1, 1) and in_c % 4 == 0 and op.padding == Padding()


def is_column(graph: Graph, op: Conv2D) -> bool:
    """Whether images have one column and the rows of a window lie one after the other: a convolution of a signal."""
    _, kernel_h, kernel_w, _ = graph.tensors[op.weights].shape
    single = graph.tensors[op.input].shape[2] == graph.tensors[op.output].shape[2] == kernel_w == 1
    return single and kernel_h > 1 and op.dilation_hw[0] == 1 and op.padding.left == op.padding.right == 0


def matrix_depth(graph: Graph, op: Conv2D | FullyConnected) -> int | None:
    """Return the values an output sums, or None where the matrix kernels would not be exact."""
    weights = graph.tensors[op.weights]
    if not _eight_bits(graph, (op.input, op.output)) or weights.dtype not in _WEIGHT_BITS:
        return None
    if weights.data is not None:
        channels = channel_arithmetic(graph, op)
        if not separable(channels.weights, channels.bias) or not _shifts_right(channels, 1, MAX_RIGHT_SHIFT):
            return None
    return prod(weights.shape[1:])


def wide_depth(graph: Graph, op: Conv2D | FullyConnected) -> int | None:
    """Return the values an output sums, or None where the matrix kernel of int16 activations does not cover it."""
    known = graph.tensors[op.weights].data is not None
    if not _is_wide(graph, op) or (known and not packs_wide(*wide_channels(graph, op))):
        return None
    return prod(graph.tensors[op.weights].shape[1:])


def is_wide_depthwise(graph: Graph, op: DepthwiseConv2D) -> bool:
    """Whether the depthwise kernel of int16 activations covers the operator: no channel multiplier."""
    known = graph.tensors[op.weights].data is not None
    single = graph.tensors[op.input].shape[3] == graph.tensors[op.output].shape[3]
    return single and _is_wide(graph, op) and (not known or packs_wide_depthwise(*wide_channels(graph, op)))


def _is_wide(graph: Graph, op: Weighted) -> bool:
    """Whether activations are int16 and weights int8, sums have 64 bits, and limits are those of int16 or a ReLU."""
    types = {graph.tensors[t].dtype for t in (op.input, op.output)}
    if types != {DType.INT16} or graph.tensors[op.weights].dtype is not DType.INT8 or not sums_are_wide(graph, op):
        return False
    low, high = activation_range(op.activation, quant_of(graph, op.output), DType.INT16)
    return low in (0, -32768) and high == 32767


def wide_channels(graph: Graph, op: Weighted) -> tuple[Array, Int64s, Int64s, Int64s]:
    """Return weights [channels, depth], and a channel's bias, multiplier of 16 bits and right shift."""
    channels = output_channels(graph, op)
    weights = constant_data(graph, op.weights)
    filters = weights.reshape(-1, channels).T if isinstance(op, DepthwiseConv2D) else weights.reshape(channels, -1)
    values, shifts = as_arrays(op_multipliers(graph, op))
    bias = np.zeros(channels, np.int64) if op.bias is None else constant_data(graph, op.bias).astype(np.int64)
    return filters, bias.ravel(), reduced(values), 15 - shifts.astype(np.int64)


@dataclass(frozen=True, slots=True)
class DepthwisePlan:
    """How a depthwise convolution goes through its plane: `out_w` columns at once, all unless `in_parts`."""

    kernel_hw: tuple[int, int]
    dilation_hw: tuple[int, int]
    plane_w: int
    out_w: int
    in_parts: bool
    in_w: int
    left: int
    stride_h: int
    out_h: int
    no_right_shift: bool

    def plane(self, rows: int | None = None) -> ChunkedPlane:
        """Return the int16 plane for so many output rows a call, all if None."""
        reach, out_h = (self.kernel_hw[0] - 1) * self.dilation_hw[0] + 1, rows or self.out_h
        least = _LEAST_PLANE_BYTES
        if self.in_parts:  # no more than a whole plane of bytes: patches are there to save memory
            least = min(least, ((out_h - 1) * self.stride_h + reach) * self.plane_w)
        return ChunkedPlane(self.plane_w, reach, self.stride_h, out_h, 2, least, 2)

    def image(self, channels: int, row_bytes: int) -> GatherShape | ColumnsShape:
        """Return what the routine is made for that gathers one of so many channels of an image with such rows."""
        if self.in_parts:
            return ColumnsShape(channels, row_bytes, self.plane_w)
        return GatherShape(self.in_w, channels, self.left, self.plane_w, self.dilation_hw[1])

    def shape(self, graph: Graph, op: DepthwiseConv2D, relu: bool, row_bytes: int) -> DepthwiseShape:
        """Return what the channel's routine is made for where output rows have so many bytes."""
        channels = graph.tensors[op.output].shape[3]
        zero_point = quant_of(graph, op.output).zero_point[0]
        bits = weight_bits(graph, op)
        return DepthwiseShape(
            self.kernel_hw,
            op.stride_hw,
            self.out_w,
            channels,
            self.plane_w,
            zero_point,
            relu,
            bits,
            dilation_hw=self.dilation_hw,
            no_right_shift=self.no_right_shift,
            gap=row_bytes - self.out_w * channels,
        )


def depthwise_plan(graph: Graph, op: DepthwiseConv2D, extent: Extent | None = None) -> DepthwisePlan | None:
    """Return the plan, or None: eight bits, left shifts only before a ReLU, every window on the image, a filter that
    fits the registers and, where columns are dilated, no stride along them, and all of them at once.

    `extent` are the output rows and columns that one call computes, all if None.
    """
    _, kernel_h, kernel_w, channels = graph.tensors[op.weights].shape
    in_w = graph.tensors[op.input].shape[2]
    _, out_h, width, _ = graph.tensors[op.output].shape
    out_w = width if extent is None else extent[1]
    in_parts = out_w < width
    if (
        (in_parts and not _cuts_columns(graph, op))
        or not _eight_bits(graph, (op.input, op.output))
        or graph.tensors[op.weights].dtype not in _WEIGHT_BITS
        or max(op.padding.top, op.padding.bottom) > (kernel_h - 1) * op.dilation_hw[0]
        or not _depthwise_is_exact(graph, op)
    ):
        return None
    kernel_hw, left = (kernel_h, kernel_w), op.padding.left
    dilation_hw = op.dilation_hw[0] if kernel_h > 1 else 1, op.dilation_hw[1] if kernel_w > 1 else 1
    # whole rows of the input are gathered, so the plane holds also columns that no output reads
    inside = 0 if in_parts else left + in_w
    plane_w = plane_width(out_w, kernel_w, op.stride_hw[1], inside, dilation_hw[1])
    no_right_shift = is_relu(graph, op) and any(multiplier.shift >= 0 for multiplier in op_multipliers(graph, op))
    shape = DepthwiseShape(
        kernel_hw,
        op.stride_hw,
        out_w,
        channels,
        plane_w,
        0,
        False,
        dilation_hw=dilation_hw,
        no_right_shift=no_right_shift,
    )
    if not supported(shape):
        return None
    stride_h = op.stride_hw[0]
    return DepthwisePlan(kernel_hw, dilation_hw, plane_w, out_w, in_parts, in_w, left, stride_h, out_h, no_right_shift)


def _cuts_columns(graph: Graph, op: DepthwiseConv2D) -> bool:
    """Whether some of the columns can be computed: their windows see the image, columns lie side by side, and rows
    are short enough to step over.
    """
    kernel_w = graph.tensors[op.weights].shape[2]
    beside = op.padding.left < kernel_w and op.padding.right < kernel_w
    row_bytes = max(prod(graph.tensors[t].shape[2:]) for t in (op.input, op.output))
    return beside and op.dilation_hw[1] == 1 and row_bytes <= _MOST_ROW_BYTES


def adds(graph: Graph, op: Add | Sub) -> bool:
    """Whether the kernel of sums and differences covers the operator: two equal shapes and 8 bits."""
    tensors = graph.tensors
    same = all(tensors[t].shape == tensors[op.output].shape for t in op.inputs)
    return same and _eight_bits(graph, (*op.inputs, op.output)) and add_params(graph, op).output.shift < 0


def adds_constant(graph: Graph, op: Add | Sub) -> bool:
    """Whether the kernel of sums with a constant covers the operator: 8 bits, and a constant that repeats."""
    return (
        repeated_constant(graph, op) is not None
        and _eight_bits(graph, (*op.inputs, op.output))
        and add_params(graph, op).output.shift < 0
    )


def repeated_constant(graph: Graph, op: Add | Sub) -> tuple[TensorId, TensorId] | None:
    """Return the tensor and the constant of its last dimensions, begun anew with every row at the latest; or None."""
    for x, other in (op.inputs, reversed(op.inputs)):
        held, shape = graph.tensors[other], graph.tensors[op.output].shape
        kept = tuple(dropwhile(lambda size: size == 1, held.shape))
        if (
            held.is_constant
            and graph.tensors[x].shape == shape
            and kept == shape[len(shape) - len(kept) :]
            and 1 < held.elements < graph.tensors[op.output].elements
            and held.elements <= prod(shape[-2:])
        ):
            return x, other
    return None


def multiplies(graph: Graph, op: Mul) -> bool:
    """Whether the product's kernel covers the operator: 8 bits, and no channel of one input that stands for all."""
    tensors = graph.tensors
    channels = [tensors[t].shape[-1:] for t in (*op.inputs, op.output)]
    shift = -mul_multiplier(graph, op).shift
    return _eight_bits(graph, (*op.inputs, op.output)) and len(set(channels)) == 1 and 1 <= shift <= MAX_RIGHT_SHIFT


def pools(graph: Graph, op: AveragePool2D | MaxPool2D) -> bool:
    """Whether the pools' kernels cover the operator: 8 bits, and averages whose sums fit 16 bits."""
    fits = isinstance(op, MaxPool2D) or prod(op.kernel_hw) <= _MOST_AVERAGED
    return _eight_bits(graph, (op.input, op.output)) and fits


def averages(graph: Graph, op: Mean) -> bool:
    """Whether the mean's kernel covers the operator: 8 bits, and all pixels of one image."""
    shape = graph.tensors[op.input].shape
    return _eight_bits(graph, (op.input, op.output)) and len(shape) == 4 and shape[0] == 1 and set(op.axes) == {1, 2}


def normalizes(graph: Graph, op: Softmax) -> bool:
    """Whether the softmax's kernel covers the operator: 8 bits."""
    return _eight_bits(graph, (op.input, op.output))


def quantizes(graph: Graph, op: Quantize) -> bool:
    """Whether the kernel that quantizes covers the operator: float32 to 8 bits."""
    source, result = (graph.tensors[t].dtype for t in (op.input, op.output))
    return source is DType.FLOAT32 and result in (DType.INT8, DType.UINT8)


def swapped_operands(graph: Graph, op: Add | Sub) -> bool:
    """Whether the second input has the larger scale, which makes it the plain one."""
    return quant_of(graph, op.inputs[1]).scale[0] > quant_of(graph, op.inputs[0]).scale[0]


def _eight_bits(graph: Graph, tensors: tuple[TensorId, ...]) -> bool:
    return all(graph.tensors[t].dtype is DType.INT8 for t in tensors)


def _depthwise_is_exact(graph: Graph, op: DepthwiseConv2D) -> bool:
    """Whether the fused arithmetic holds: doubled sums stay in 32 bits, and the shifts are in range.

    Without weights all that scales tell is which channels ask for a left shift.
    """
    least = -MAX_LEFT_SHIFT if is_relu(graph, op) else 1
    if graph.tensors[op.weights].data is None:
        return all(multiplier.shift <= -least for multiplier in op_multipliers(graph, op))
    channels = channel_arithmetic(graph, op)
    largest = 128 * np.abs(channels.weights.astype(np.int64)).sum(axis=1) + np.abs(channels.bias.astype(np.int64))
    left_shift = np.clip(-channels.right_shift, 0, MAX_LEFT_SHIFT)
    return bool((largest << left_shift).max() < 1 << 30) and _shifts_right(channels, least, MAX_FUSED_SHIFT)


def _shifts_right(channels: ChannelArithmetic, least: int, most: int) -> bool:
    return bool(((channels.right_shift >= least) & (channels.right_shift <= most)).all())
