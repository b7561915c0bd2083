"""How far a kernel writes before it reads: what its output may overlap of its input (vMCU, MLSys 2024).

Read from the C code of each kernel: the order of its loops, and what it reads before it writes. A change there is
a change here; tests/compiler/memory/test_overlapping_kernels.py compares every kernel at its smallest distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

import numpy as np
import numpy.typing as npt

from services.compiler.ir.alone import remembered
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
from services.compiler.ir.shapes import Shape4, dense_strides, nhwc
from services.compiler.ir.tensor import DType, TensorId
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.quant.movement import bilinear_blend, nearest_indices
from services.compiler.schedule import core_kernels

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Overlap:
    """The output may start at or below the input's start less `distance_bytes`, by a multiple of `multiple_bytes`.

    Then no byte is written that is still to be read. In place is distance 0; a negative distance lets the output
    start inside the input. Channel by channel, any multiple of the channels keeps every channel to itself.
    """

    source: TensorId
    target: TensorId
    distance_bytes: int
    multiple_bytes: int = 1


def overlaps(graph: Graph, op: Op, kernels: KernelSet, scratch_bytes: int) -> tuple[Overlap, ...]:
    """Return the overlaps that the operator's kernel allows when it has so much scratch; one an input and output."""
    inputs, outputs = op.inputs, op.outputs
    return tuple(
        [
            Overlap(inputs[source], outputs[target], distance, multiple)
            for source, target, distance, multiple in _numbered_overlaps(graph, op, kernels, scratch_bytes)
        ]
    )


@remembered
def _numbered_overlaps(
    graph: Graph, op: Op, kernels: KernelSet, scratch_bytes: int
) -> tuple[tuple[int, int, int, int], ...]:
    """Return the overlaps as numbers, tensors told by their place among the operator's inputs and outputs."""
    return tuple(
        (op.inputs.index(o.source), op.outputs.index(o.target), o.distance_bytes, o.multiple_bytes)
        for o in _found_overlaps(graph, op, kernels, scratch_bytes)
    )


def _found_overlaps(graph: Graph, op: Op, kernels: KernelSet, scratch_bytes: int) -> tuple[Overlap, ...]:
    wide = {t for t in (*op.inputs, *op.outputs) if graph.tensors[t].dtype is DType.INT16}
    if not wide:
        return _overlaps(graph, op, kernels, scratch_bytes)
    if isinstance(op, Quantize | Dequantize) and not wide.issuperset((op.input, op.output)):
        return _between_widths(graph, op)
    # the same orders of elements, each of two bytes
    bytewise = graph.with_tensors({t: replace(graph.tensors[t], dtype=DType.INT8, data=None) for t in wide})
    found = _overlaps(bytewise, op, KernelSet.PORTABLE, scratch_bytes)
    return tuple(replace(o, distance_bytes=2 * o.distance_bytes, multiple_bytes=2 * o.multiple_bytes) for o in found)


def _between_widths(graph: Graph, op: Quantize | Dequantize) -> tuple[Overlap, ...]:
    """Element by element upwards: where outputs are wider, all but the first are written over inputs to come."""
    source, result = (graph.tensors[t].dtype.bits // 8 for t in (op.input, op.output))
    return _single(op, max(0, result - source) * (graph.tensors[op.input].elements - 1))


def _overlaps(graph: Graph, op: Op, kernels: KernelSet, scratch_bytes: int) -> tuple[Overlap, ...]:
    match op:
        case Conv2D() | DepthwiseConv2D() | FullyConnected():
            found = _weighted(graph, op, kernels, scratch_bytes)
            return (found,) if found else ()
        case AveragePool2D() | MaxPool2D():
            return _single(op, _windowed_by_channel(graph, op)) if _one_image(graph, op) else ()
        case Mean() | Sum():
            return _single(op, _mean(graph, op))
        case Logistic() | Tanh() | HardSwish() | Relu() | LeakyRelu() | Table() | Quantize() | Softmax():
            return _single(op, 0)
        case MeanOfSums() | PoolOfSums():
            return _single(op, 0)
        case Dequantize():
            return _single(op, 3 * (graph.tensors[op.input].elements - 1))
        case Add() | Sub() | Mul() | Maximum() | Minimum() | PRelu():
            shape = graph.tensors[op.output].shape
            return tuple(Overlap(t, op.output, 0) for t in op.inputs if graph.tensors[t].shape == shape)
        case Concatenation():
            return _concatenation(graph, op)
        case Split():
            return _split(graph, op)
        case StridedSlice():
            return _single(op, _slice(graph, op))
        case Transpose():
            return _single(op, _transpose(graph, op))
        case ResizeNearestNeighbor() | ResizeBilinear():
            return _single(op, _resize(graph, op)) if _one_image(graph, op) else ()
        case RnnPool():
            return _single(op, _patches(graph, op)) if _one_image(graph, op) else ()
        # a padding is filled before its input is copied; a reshape is no step; pulled rows come from elsewhere; what is
        # transposed in place stays there
        case Pad() | Reshape() | PullRows() | TransposeImage():
            return ()
        case ImageSums():  # cleared before the first pixel is read
            return ()
        case _:
            assert_never(op)


def _single(op: Op, distance: int) -> tuple[Overlap, ...]:
    return (Overlap(op.input, op.output, distance),)


def _weighted(
    graph: Graph, op: Conv2D | DepthwiseConv2D | FullyConnected, kernels: KernelSet, scratch_bytes: int
) -> Overlap | None:
    match op:
        case FullyConnected():
            expanded = core_kernels.expands_vectors(graph, op, kernels)
            return Overlap(op.input, op.output, _fully_connected(graph, op, expanded=expanded))
        case _ if not _one_image(graph, op):
            return None
        case Conv2D():
            block = core_kernels.conv_block(graph, op, kernels)
            distance = _conv_pixels(graph, op) if block is None else _conv_blocks(graph, op, block)
            return Overlap(op.input, op.output, distance)
        case DepthwiseConv2D() if scratch_bytes == 0:
            return Overlap(op.input, op.output, _windowed_by_channel(graph, op))
        case DepthwiseConv2D():
            channels, in_c = (graph.tensors[t].shape[3] for t in (op.output, op.input))
            if channels != in_c != 1:  # outputs lie on channels still to be read
                return None
            rows = core_kernels.chunk_rows(graph, op, kernels, scratch_bytes)
            distance = -graph.tensors[op.input].size_bytes if rows is None else _chunks(graph, op, rows)
            return Overlap(op.input, op.output, distance, in_c)
        case _:
            assert_never(op)


def _one_image(graph: Graph, op: Op) -> bool:
    return graph.tensors[op.input].shape[0] == 1


def _distance(written: Ints, first_read: Ints, source_bytes: int) -> int:
    """Return how far below the source the target must start.

    One entry a read: how many bytes of the target were written before it (all below that mark), and the lowest byte
    of the source that it touches. Reads before the first write ask for nothing.
    """
    behind = (written - first_read)[written > 0]
    return max(-source_bytes, int(behind.max(initial=-source_bytes)))


def _first_bytes(graph: Graph, op: Conv2D | DepthwiseConv2D | AveragePool2D | MaxPool2D | RnnPool) -> Ints:
    """Return the lowest input byte of every output pixel's window, [out_h, out_w]."""
    _, in_h, in_w, in_c = graph.tensors[op.input].shape
    _, out_h, out_w, _ = graph.tensors[op.output].shape
    rows = np.clip(np.arange(out_h, dtype=np.int64) * op.stride_hw[0] - op.padding.top, 0, in_h - 1)
    columns = np.clip(np.arange(out_w, dtype=np.int64) * op.stride_hw[1] - op.padding.left, 0, in_w - 1)
    return np.asarray((rows[:, None] * in_w + columns) * in_c)


def _pixels(graph: Graph, op: Op) -> Ints:
    """Return the number of every output pixel, [out_h, out_w]."""
    _, out_h, out_w, _ = graph.tensors[op.output].shape
    return np.arange(out_h * out_w, dtype=np.int64).reshape(out_h, out_w)


def _conv_pixels(graph: Graph, op: Conv2D) -> int:
    """Pixel by pixel; the window is read again for every filter, until all but the last output are written."""
    channels = graph.tensors[op.output].shape[3]
    written = _pixels(graph, op) * channels + channels - 1
    return _distance(written, _first_bytes(graph, op), graph.tensors[op.input].size_bytes)


def _conv_blocks(graph: Graph, op: Conv2D, block: core_kernels.ConvBlock) -> int:
    """Blocks of pixels, read whole before their outputs are written."""
    _, _, out_w, channels = graph.tensors[op.output].shape
    pixels = _pixels(graph, op)
    starts = pixels - (pixels % out_w if block.ends_with_row else pixels) % block.pixels
    return _distance(starts * channels, _first_bytes(graph, op), graph.tensors[op.input].size_bytes)


def _chunks(graph: Graph, op: DepthwiseConv2D, chunk_rows: int) -> int:
    """A channel at a time, some rows of it."""
    return chunks_distance(graph, op, chunk_rows, *(graph.tensors[t].shape[1:3] for t in (op.input, op.output)))


def chunks_distance(
    graph: Graph, op: DepthwiseConv2D, chunk_rows: int, read_hw: tuple[int, ...], written_hw: tuple[int, ...]
) -> int:
    """Return how far below the input the output must start where both are held by so many rows and columns, at most
    all: later chunks read the rows that the plane does not hold yet.

    Of patches those at the image's top ask for the most: behind padding a chunk reads the lowest rows.
    """
    (in_h, in_w), (out_h, out_w) = read_hw, written_hw
    in_c, channels = (graph.tensors[t].shape[3] for t in (op.input, op.output))
    reach = (graph.tensors[op.weights].shape[1] - 1) * op.dilation_hw[0] + 1
    kept = max(0, reach - op.stride_hw[0])
    starts = np.arange(0, out_h, chunk_rows, dtype=np.int64)
    rows = np.clip(starts * op.stride_hw[0] - op.padding.top + kept, 0, in_h)
    return _distance(starts * out_w * channels, rows * in_w * in_c, in_h * in_w * in_c)


def _windowed_by_channel(graph: Graph, op: DepthwiseConv2D | AveragePool2D | MaxPool2D) -> int:
    """Pixel by pixel, output by output, each from one channel of its window: output o from channel o // multiplier."""
    in_c, out_c = graph.tensors[op.input].shape[3], graph.tensors[op.output].shape[3]
    lag = int((np.arange(out_c) - np.arange(out_c) // (out_c // in_c)).max())
    behind = _pixels(graph, op) * out_c - _first_bytes(graph, op)
    return int(behind.max()) + lag


def _fully_connected(graph: Graph, op: FullyConnected, *, expanded: bool) -> int:
    """Column by column; the column is read again for every output, unless it was expanded first."""
    out_features, in_features = graph.tensors[op.weights].shape
    columns = np.arange(graph.tensors[op.output].elements // out_features, dtype=np.int64)
    written = columns * out_features + (0 if expanded else out_features - 1)
    return _distance(written, columns * in_features, graph.tensors[op.input].size_bytes)


def _mean(graph: Graph, op: Mean | Sum) -> int:
    """Output by output in order, each from elements that lie no lower than the first of its sum."""
    shape = nhwc(graph.tensors[op.input].shape)
    axes = {a + 4 - len(graph.tensors[op.input].shape) for a in op.axes}
    kept = [1 if i in axes else d for i, d in enumerate(shape)]
    index = np.indices(kept, dtype=np.int64)
    first = sum((index[i] * s for i, s in enumerate(dense_strides(shape))), np.zeros(kept, dtype=np.int64))
    written = np.arange(first.size, dtype=np.int64).reshape(kept)
    return _distance(written, first, graph.tensors[op.input].size_bytes)


def _patches(graph: Graph, op: RnnPool) -> int:
    """Patch by patch: each is read before its one pixel is written."""
    written = _pixels(graph, op) * graph.tensors[op.output].shape[3]
    return _distance(written, _first_bytes(graph, op), graph.tensors[op.input].size_bytes)


def _resize(graph: Graph, op: ResizeNearestNeighbor | ResizeBilinear) -> int:
    """Pixel by pixel, channel by channel, from the same channel of pixels that lie no lower than the first of them."""
    _, in_h, in_w, channels = graph.tensors[op.input].shape
    _, out_h, out_w, _ = graph.tensors[op.output].shape
    if isinstance(op, ResizeBilinear):
        rows, columns = bilinear_blend(op, in_h, out_h).low, bilinear_blend(op, in_w, out_w).low
    else:
        rows = np.array(nearest_indices(op, in_h, out_h), dtype=np.int64)
        columns = np.array(nearest_indices(op, in_w, out_w), dtype=np.int64)
    return int((_pixels(graph, op) - (rows[:, None] * in_w + columns)).max()) * channels


def _copied(size: Sequence[int], in_strides: Sequence[int], out_strides: Sequence[int], ahead: int) -> int:
    """Return the distance of a box copied upwards in the output: the farthest that a byte moves up.

    `ahead` is the output's offset of the first byte less the input's.
    """
    steps = zip(size, in_strides, out_strides, strict=True)
    return ahead + sum(max(0, out_step - in_step) * (count - 1) for count, in_step, out_step in steps)


def _slice(graph: Graph, op: StridedSlice) -> int:
    lead = 4 - len(op.begin)
    in_strides = dense_strides(nhwc(graph.tensors[op.input].shape))
    picked = [range(*limits) for limits in zip(op.begin, op.end, op.strides, strict=True)]
    size = _shape4([1] * lead + [len(p) for p in picked])
    steps = [s * p for s, p in zip(in_strides, [1] * lead + list(op.strides), strict=True)]
    begin = sum(b * s for b, s in zip(op.begin, in_strides[lead:], strict=True))
    return _copied(size, steps, dense_strides(size), -begin)


def _transpose(graph: Graph, op: Transpose) -> int:
    lead = 4 - len(op.permutation)
    in_strides = dense_strides(nhwc(graph.tensors[op.input].shape))
    size = nhwc(graph.tensors[op.output].shape)
    return _copied(size, [in_strides[p] for p in [*range(lead), *(p + lead for p in op.permutation)]],
                   dense_strides(size), 0)  # fmt: skip


def _concatenation(graph: Graph, op: Concatenation) -> tuple[Overlap, ...]:
    """Input by input: what the earlier ones wrote lies below the end of the last of them."""
    out_shape = nhwc(graph.tensors[op.output].shape)
    strides, axis = dense_strides(out_shape), op.axis + 4 - len(graph.tensors[op.output].shape)
    found, start, written = [], 0, 0
    for t in op.inputs:
        size = nhwc(graph.tensors[t].shape)
        own = _copied(size, dense_strides(size), strides, start)
        found.append(Overlap(t, op.output, max(own, written) if written else own))
        written = start + sum((count - 1) * step for count, step in zip(size, strides, strict=True)) + 1
        start += size[axis] * strides[axis]
    return tuple(found)


def _split(graph: Graph, op: Split) -> tuple[Overlap, ...]:
    """Output by output: what is written of one must not reach what a later one reads."""
    in_shape = graph.tensors[op.input].shape
    strides, axis = dense_strides(nhwc(in_shape)), op.axis + 4 - len(in_shape)
    sizes = [nhwc(graph.tensors[t].shape) for t in op.outputs]
    starts = [sum(s[axis] for s in sizes[:k]) * strides[axis] for k in range(len(sizes))]
    found = []
    for k, (t, size) in enumerate(zip(op.outputs, sizes, strict=True)):
        own = _copied(size, strides, dense_strides(size), -starts[k])
        later = [graph.tensors[t].size_bytes - start for start in starts[k + 1 :]]
        found.append(Overlap(op.input, t, max([own, *later])))
    return tuple(found)


def _shape4(values: Sequence[int]) -> Shape4:
    n, h, w, c = values
    return n, h, w, c
