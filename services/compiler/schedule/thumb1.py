"""Which operators the Cortex-M0+ kernels cover, and the scratch they want: known before anything is placed."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Add, Conv2D, DepthwiseConv2D, FullyConnected, Op
from services.compiler.ir.tensor import DType
from services.compiler.kernels.thumb1.depthwise import DepthwiseRow, supported
from services.compiler.kernels.thumb1.gemm import TAP_BYTES
from services.compiler.kernels.thumb1.pack import exact, padded_depth, splittable
from services.compiler.kernels.thumb1.requantize import MAX_RIGHT_SHIFT
from services.compiler.kernels.thumb2.pack import separable
from services.compiler.quant.channels import channel_arithmetic
from services.compiler.quant.elementwise import add_params
from services.compiler.quant.folding import Weighted
from services.compiler.schedule import thumb2
from services.compiler.schedule.plane import ChunkedPlane

_LEAST_PLANE_BYTES = 256

Extent = tuple[int, int]


def scratch_sizes(graph: Graph, op: Op, extent: Extent | None = None) -> tuple[int, ...]:
    """Return the sizes of scratch that the operator's kernel can use, upwards: the first is what it needs.

    `extent` are the output rows and columns that one call computes, all if None.
    """
    match op:
        case Conv2D() if convolves(graph, op):
            return (x_bytes(graph, op) + graph.tensors[op.input].shape[3],)
        case DepthwiseConv2D() if (plane := depthwise_plane(graph, op, extent)) is not None:
            return plane.sizes() if extent is None else replace(plane, out_h=extent[0]).sizes()
        case _:
            return ()


def x_bytes(graph: Graph, op: Conv2D) -> int:
    """Return the bytes of a tile of expanded pixels."""
    return TAP_BYTES * padded_depth(prod(graph.tensors[op.weights].shape[1:]))


def convolves(graph: Graph, op: Conv2D) -> bool:
    """Whether the matrix routine is exact for the convolution."""
    if not _exact(graph, op):
        return False
    return graph.tensors[op.weights].data is None or splittable(channel_arithmetic(graph, op).weights)


def multiplies(graph: Graph, op: FullyConnected) -> bool:
    """Whether the vector routine is exact for the layer."""
    if not _exact(graph, op):
        return False
    if graph.tensors[op.weights].data is None:
        return True
    found = channel_arithmetic(graph, op)
    return separable(found.weights, found.bias)


def adds(graph: Graph, op: Add) -> bool:
    """Whether the addition's kernel covers the operator: two equal shapes, 8 bits, a sum that is shifted right."""
    return thumb2.adds(graph, op) and -add_params(graph, op).output.shift <= MAX_RIGHT_SHIFT


def depthwise_row(graph: Graph, op: DepthwiseConv2D, extent: Extent | None = None, *, relu: bool) -> DepthwiseRow:
    """Return what the channel's routine is made for. `extent` are the rows and columns of a call, all if None."""
    _, kernel_h, kernel_w, _ = graph.tensors[op.weights].shape
    out_w = graph.tensors[op.output].shape[2] if extent is None else extent[1]
    return DepthwiseRow((kernel_h, kernel_w), op.stride_hw[1], op.dilation_hw[1], out_w, relu)


def depthwise_plane(graph: Graph, op: DepthwiseConv2D, extent: Extent | None = None) -> ChunkedPlane | None:
    """Return the plane, or None: multiplier 1, a filter that the routine has room for, exact arithmetic, and windows
    that see the image where not all columns are computed. `extent` are the rows and columns of a call, all if None.
    """
    _, kernel_h, kernel_w, channels = graph.tensors[op.weights].shape
    _, _, in_w, in_c = graph.tensors[op.input].shape
    _, out_h, out_w, _ = graph.tensors[op.output].shape
    row = depthwise_row(graph, op, extent, relu=False)
    if channels != in_c or not supported(row) or not _exact(graph, op):
        return None
    taps_w = (kernel_w - 1) * op.dilation_hw[1] + 1
    if row.out_w < out_w and max(op.padding.left, op.padding.right) >= taps_w:
        return None
    width = (row.out_w - 1) * op.stride_hw[1] + taps_w
    if row.out_w == out_w:  # columns that no output reads are gathered, too, if they are held
        width = max(width, op.padding.left + in_w)
    return ChunkedPlane(
        width,
        (kernel_h - 1) * op.dilation_hw[0] + 1,
        op.stride_hw[0],
        out_h,
        value_bytes=1,
        least_bytes=_LEAST_PLANE_BYTES,
    )


def _exact(graph: Graph, op: Weighted) -> bool:
    if any(graph.tensors[t].dtype is not DType.INT8 for t in (op.input, op.weights, op.output)):
        return False
    if graph.tensors[op.weights].data is None:
        return True
    found = channel_arithmetic(graph, op)
    return exact(found.weights, found.bias, found.right_shift)
