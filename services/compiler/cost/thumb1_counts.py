"""What the time of calls of the Cortex-M0+ kernels is linear in, read from the calls' own parameters."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from services.compiler.codegen.program import KernelCall
from services.compiler.cost.call_fields import number
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Add, Conv2D, DepthwiseConv2D, FullyConnected, Op
from services.compiler.kernels.thumb1.depthwise import DepthwiseRow
from services.compiler.kernels.thumb1.gemm import TILE_PIXELS
from services.compiler.kernels.thumb1.pack import DOT_CHANNELS, FLAGGED_GROUPS, GROUP, padded_depth, split_flags
from services.compiler.quant.channels import channel_arithmetic
from services.compiler.quant.elementwise import add_params

Count = tuple[str, float]
# the taps between two splits of networks trained by others: 6.2 to 6.6 in convolutions of MLPerf Tiny's models
_TAPS_A_SPLIT = 6.4


def thumb1_counts(graph: Graph, op: Op, call: KernelCall) -> Iterator[Count]:
    """Yield the counts of one call by name."""
    match op:
        case Conv2D():
            yield from _conv_counts(graph, op, _is_relu(call))
        case DepthwiseConv2D():
            yield from _depthwise_counts(graph, op, call)
        case FullyConnected():
            yield from _dense_counts(graph, op, _is_relu(call))
        case Add():
            scaled = max(-params.shift for params in (add_params(graph, op).left, add_params(graph, op).right))
            elements = graph.tensors[op.output].elements
            yield "rows", call.region.rows[1] - call.region.rows[0]
            yield "elements", elements
            yield "shifted elements", elements if scaled > 0 else 0
        case _:
            raise AssertionError(f"{call.function} is no kernel of {type(op).__name__}")


def _is_relu(call: KernelCall) -> bool:
    """Whether the call's routine has a ReLU in it, as its file's name tells."""
    return "_relu" in call.sources[0].file


def _by_relu(relu: bool, name: str, count: float) -> Iterator[Count]:
    yield f"relu {name}", count if relu else 0
    yield name, 0 if relu else count


def _conv_counts(graph: Graph, op: Conv2D, relu: bool) -> Iterator[Count]:
    """Tiles of four pixels: windows are expanded by rows, or by taps where one of them leaves the image."""
    channels, kernel_h, kernel_w, in_c = graph.tensors[op.weights].shape
    _, out_h, out_w, _ = graph.tensors[op.output].shape
    pixels, groups = out_h * out_w, padded_depth(kernel_h * kernel_w * in_c) // GROUP
    tiles = -(-pixels // TILE_PIXELS)
    border = _border_tiles(graph, op)
    yield "tiles", tiles
    yield "border tiles", border
    yield "border expansions", border * kernel_h * kernel_w
    yield "border fours", border * kernel_h * kernel_w * (in_c // 4)
    yield "border rest", border * kernel_h * kernel_w * (in_c % 4)
    yield "expansions", (tiles - border) * kernel_h
    yield "fours", (tiles - border) * kernel_h * (kernel_w * in_c // 4)
    yield "rest", (tiles - border) * kernel_h * (kernel_w * in_c % 4)
    yield "groups", tiles * channels * groups
    yield "flag words", tiles * channels * -(-groups // FLAGGED_GROUPS)
    yield "splits", tiles * _splits(graph, op)
    yield from _by_relu(relu, "channels", tiles * channels)
    yield from _by_relu(relu, "outputs", pixels * channels)


def _border_tiles(graph: Graph, op: Conv2D) -> int:
    """Return the tiles in which a window leaves the image, or may not be read by rows."""
    _, in_h, in_w, _ = graph.tensors[op.input].shape
    _, out_h, out_w, _ = graph.tensors[op.output].shape
    _, kernel_h, kernel_w, _ = graph.tensors[op.weights].shape
    rows = np.arange(out_h) * op.stride_hw[0] - op.padding.top
    columns = np.arange(out_w) * op.stride_hw[1] - op.padding.left
    rows_inside = (rows >= 0) & (rows + kernel_h <= in_h) & (op.dilation_hw == (1, 1))
    inside = np.logical_and.outer(rows_inside, (columns >= 0) & (columns + kernel_w <= in_w)).ravel()
    whole = np.append(inside, np.full(-len(inside) % TILE_PIXELS, inside[-1])).reshape(-1, TILE_PIXELS)
    return int((~whole.all(axis=1)).sum())


def _splits(graph: Graph, op: Conv2D) -> float:
    """Return the splits of all channels: of the very weights where they are known."""
    channels, *taps = graph.tensors[op.weights].shape
    depth = padded_depth(int(np.prod(taps)))
    if graph.tensors[op.weights].data is None:
        return channels * max(1.0, depth / _TAPS_A_SPLIT)
    weights = channel_arithmetic(graph, op).weights.astype(np.int64)
    padded = np.pad(weights, ((0, 0), (0, depth - weights.shape[1])))
    return sum(sum(split_flags(channel)) for channel in padded)


def _depthwise_counts(graph: Graph, op: DepthwiseConv2D, call: KernelCall) -> Iterator[Count]:
    _, in_h, in_w, channels = graph.tensors[op.input].shape
    out_h = graph.tensors[op.output].shape[1]
    kernel_h, kernel_w = graph.tensors[op.weights].shape[1:3]
    (stride_h, stride_w), (dilation_h, dilation_w) = op.stride_hw, op.dilation_hw
    plane_w, chunk_rows, call_rows = (number(call, name) for name in ("plane_w", "chunk_rows", "call_rows"))
    # what the routine is made for, also where a patch is narrower
    out_w = (plane_w - (kernel_w - 1) * dilation_w - 1) // stride_w + 1
    row, relu = DepthwiseRow((kernel_h, kernel_w), stride_w, dilation_w, out_w, relu=False), _is_relu(call)
    chunks, reach = -(-out_h // chunk_rows), (kernel_h - 1) * dilation_h + 1
    runs = chunks if call_rows == chunk_rows else out_h
    kept, loaded = max(reach - stride_h, 0), (out_h - 1) * stride_h + reach
    inside = min(in_h, loaded - op.padding.top)
    rows = channels * out_h
    yield "channels", channels
    yield "taps", channels * runs * kernel_h * kernel_w
    yield from _by_relu(relu, "chunks", channels * runs)
    yield "gathered rows", channels * inside
    yield "gathered fours", channels * inside * (in_w // 4)
    yield "gathered rest", channels * inside * (in_w % 4)
    yield "filled rows", channels * (loaded - inside)
    yield "filled bytes", channels * (loaded - inside) * plane_w
    yield "moved bytes", channels * (chunks - 1) * kept * plane_w
    yield "rows", rows
    yield "tiles", rows * -(-out_w // row.tile)
    yield "filter rows", rows * kernel_h * -(-out_w // row.tile)
    yield "filter weights", rows * kernel_h * kernel_w * -(-out_w // row.tile)
    yield "loads", rows * kernel_h * _loads(row, kernel_w)
    yield "products", rows * kernel_h * kernel_w * out_w
    yield from _by_relu(relu, "outputs", rows * out_w)


def _loads(row: DepthwiseRow, kernel_w: int) -> int:
    """Return the values that the tiles of an output row load for one filter row, up to four taps at a time."""
    tiles = [row.tile] * (row.out_w // row.tile) + [row.out_w % row.tile]
    total = 0
    for first in range(0, kernel_w, 4):
        taps = range(first, min(first + 4, kernel_w))
        for outputs in tiles:
            total += len({n * row.stride + tap * row.dilation for n in range(outputs) for tap in taps})
    return total


def _dense_counts(graph: Graph, op: FullyConnected, relu: bool) -> Iterator[Count]:
    channels, depth = graph.tensors[op.weights].shape
    rows = graph.tensors[op.output].elements // channels
    groups = rows * -(-channels // DOT_CHANNELS)
    yield "rows", rows
    yield "groups", groups
    yield "pairs", groups * (depth // 2)
    yield "odd values", groups * (depth % 2)
    yield from _by_relu(relu, "outputs", rows * channels)
