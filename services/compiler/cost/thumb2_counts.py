"""What the time of calls of the Thumb-2 kernels is linear in, and the bytes of the routines generated for them.

Counts are read from the call's own parameters; those of depthwise routines from their very instructions.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import prod

from services.compiler.codegen.program import KernelCall
from services.compiler.cost.call_fields import call_fields, number, routine_name
from services.compiler.cost.executed import KINDS, Mix, executed
from services.compiler.cost.image_sums_counts import THUMB2_RUN, image_sums_counts
from services.compiler.cost.thumb2_windows import column_counts, window_counts, window_taps
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import (
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    MaxPool2D,
    Mean,
    Mul,
    Op,
    Quantize,
    Softmax,
)
from services.compiler.ir.planned_ops import ImageSums
from services.compiler.kernels.source import KernelSource, made_routines
from services.compiler.kernels.thumb2.add import Scaling
from services.compiler.kernels.thumb2.depthwise import OUTPUT_ROWS
from services.compiler.kernels.thumb2.dot_wide import STEPS as WIDE_STEPS
from services.compiler.kernels.thumb2.encoding import code_bytes
from services.compiler.kernels.thumb2.gather import IMAGE_ROWS, column_turns
from services.compiler.kernels.thumb2.gemm import SMALL_STEPS, STEPS, TAIL_STORES
from services.compiler.kernels.thumb2.issue import Issue
from services.compiler.kernels.thumb2.pack import padded_depth
from services.compiler.kernels.thumb2.scheduling import separated
from services.compiler.schedule.thumb2 import weight_bits

# weights of four bits by instructions: unpacking 8 bytes to 16, against copying 16; a step of a dense layer
_UNPACKING, _PACKED_STEP = 5.0, 18 / 14
# depthwise shapes that one search meets again and again
_REMEMBERED = 4096


def thumb2_counts(graph: Graph, op: Op, call: KernelCall) -> Iterator[tuple[str, float]]:
    """Yield the counts of one call by name."""
    match op:
        case DepthwiseConv2D() if call.function.endswith("_s16"):
            yield from _wide_depthwise_counts(graph, op)
        case Conv2D() | FullyConnected() if call.function.endswith("_s16"):
            yield from _wide_counts(graph, op)
        case Conv2D():
            yield from _conv_counts(graph, op, call)
        case DepthwiseConv2D():
            yield from _depthwise_counts(graph, op, call)
        case FullyConnected():
            yield from _dense_counts(graph, op, call)
        case AveragePool2D() | MaxPool2D():
            yield from _pool_counts(graph, op)
        case Mean():
            elements, outputs = graph.tensors[op.input].elements, graph.tensors[op.output].elements
            yield from _words("sum", elements, outputs)
            yield from _words("output", outputs, outputs)
        case ImageSums():
            yield from image_sums_counts(call, THUMB2_RUN)
        case Mul():
            elements = graph.tensors[op.output].elements
            rows, columns = (stop - start for start, stop in (call.region.rows, call.region.cols))
            yield "runs", rows * columns
            yield from _words("product", elements, elements // (rows * columns))
        case Softmax():
            depth, elements = graph.tensors[op.output].shape[-1], graph.tensors[op.output].elements
            yield "vectors", elements // depth
            yield from _words("vector", elements, depth)
        case Quantize():
            yield "rows", call.region.rows[1] - call.region.rows[0]
            yield "elements", graph.tensors[op.output].elements
        case _:
            yield from _sum_counts(graph, op, call)


def _sum_counts(graph: Graph, op: Op, call: KernelCall) -> Iterator[tuple[str, float]]:
    """Yield rows, periods of a constant, and elements under the name of what a routine does to each."""
    elements = graph.tensors[op.output].elements
    rows, routine = call.region.rows[1] - call.region.rows[0], routine_name(call, "add")
    run = elements // rows
    yield "rows", rows
    if call.function == "tf_add_thumb2_s8":
        for name, count in _words("", run, run):
            yield from _either("shifted", routine, name.strip(), rows * count)
        return
    period = call.arrays[0].count
    yield "periods", elements // period
    for scaling in Scaling:
        of_kind = elements if f"_{scaling.value}_" in routine else 0
        yield from _words(scaling.value, of_kind, period)


def _words(name: str, elements: int, run: int) -> Iterator[tuple[str, float]]:
    """Yield how many words, and bytes beside them, runs of elements have."""
    yield f"{name} words", elements // run * (run // 4)
    yield f"{name} bytes", elements // run * (run % 4)


def _pool_counts(graph: Graph, op: AveragePool2D | MaxPool2D) -> Iterator[tuple[str, float]]:
    channels, outputs = graph.tensors[op.output].shape[3], graph.tensors[op.output].elements
    yield "pixels", outputs // channels
    yield from _words("output", outputs, channels)
    yield from _words("row", outputs * op.kernel_hw[0], channels)
    yield from _words("tap", outputs * op.kernel_hw[0] * op.kernel_hw[1], channels)


@lru_cache(maxsize=_REMEMBERED)
def source_bytes(source: KernelSource, issue: Issue) -> int:
    """Return the bytes of a generated file's routines, each from a multiple of four."""
    made = made_routines(source, issue)
    sized = made if issue is Issue.SINGLE else map(separated, made)
    return sum(-(-code_bytes(routine) // 4) * 4 for routine in sized)


def _either(mark: str, routine: str, name: str, count: float) -> Iterator[tuple[str, float]]:
    """Yield a count under one of two names, by whether the routine's own name is marked."""
    marked = f"_{mark}" in routine
    yield f"{mark} {name}", count if marked else 0
    yield name, 0 if marked else count


def _conv_counts(graph: Graph, op: Conv2D, call: KernelCall) -> Iterator[tuple[str, float]]:
    """Runs of pixels are cut in blocks, blocks in pairs; in a last block of odd length a pixel is in two pairs."""
    channels, kernel_h, kernel_w, in_c = graph.tensors[op.weights].shape
    _, out_h, out_w, _ = graph.tensors[op.output].shape
    depth, block_pairs = padded_depth(kernel_h * kernel_w * in_c), number(call, "block_pairs")
    pointwise = call.function == "tf_pointwise_thumb2_s8"
    runs, length = (out_h, out_w) if pointwise and op.stride_hw != (1, 1) else (1, out_h * out_w)
    blocks, left = divmod(length, 2 * block_pairs)
    last_pairs = -(-left // 2)
    pairs, products = runs * (blocks * block_pairs + last_pairs), runs * (blocks + (left > 0))
    bits = weight_bits(graph, op)
    least = 1 if bits == 8 else 0  # a single pair has no use for a copy, but needs unpacked weights
    copies = runs * (blocks * (block_pairs > least) + (last_pairs > least)) * _is_staged(call)
    yield "runs", runs
    yield "blocks", products
    yield "pairs", pairs
    routine = routine_name(call, "gemm")
    groups, tails = channels // 4, TAIL_STORES[channels % 4]
    yield "groups", products * groups
    yield "copied quads", copies * (groups * (depth // 4 + 2) if bits == 8 else _UNPACKING * channels / 4 * depth / 4)
    yield from _either("relu", routine, "pair groups", pairs * groups)
    yield "steps", pairs * groups * (depth // 2)
    steps = SMALL_STEPS if routine.endswith(f"_u{SMALL_STEPS}") else STEPS
    yield "loops", pairs * groups * -(-depth // (2 * steps))
    yield "tails", products * len(tails)
    yield "pair tails", pairs * len(tails)
    yield from _either("relu", routine, "tail outputs", pairs * sum(tails))
    yield "tail steps", pairs * len(tails) * (depth // 4)
    if pointwise or call.function == "tf_conv2d_column_thumb2_s8":
        yield "expanded words", pairs * (depth // 4)
        yield "odd words", pairs * (depth // 4 % 2)
        if not pointwise:
            yield from column_counts(graph, op, pairs, depth)
    else:
        yield from window_counts(graph, op, pairs, depth, length - last_pairs if left % 2 else None)


def _is_staged(call: KernelCall) -> bool:
    """Whether groups of weights are copied to RAM."""
    shape = call_fields(call)["shape"]
    return isinstance(shape, tuple) and ("stage", 0) not in shape


def _wide_counts(graph: Graph, op: Conv2D | FullyConnected) -> Iterator[tuple[str, float]]:
    """Vectors copied, as a whole or tap by tap where a window reaches over the border, times pairs of channels."""
    channels, *sizes = graph.tensors[op.weights].shape
    depth = prod(sizes)
    vectors, pairs, steps = graph.tensors[op.output].elements // channels, -(-channels // 2), padded_depth(depth) // 4
    yield "vectors", vectors
    yield "pairs", vectors * pairs
    yield "steps", vectors * pairs * steps
    yield "loops", vectors * pairs * -(-steps // WIDE_STEPS)
    yield "odd", vectors * (channels % 2)
    if isinstance(op, FullyConnected):
        yield "copied", vectors * (depth // 2)
        return
    kernel_h, kernel_w, in_c = sizes
    out_w = graph.tensors[op.output].shape[2]
    ys, xs = window_taps(graph, op)
    taps, runs = sum(ys) * sum(xs), kernel_w if op.dilation_hw[1] > 1 else 1
    yield "rows", vectors * kernel_h
    yield "runs", sum(ys) * out_w * runs
    yield "copied", taps * in_c / 2
    yield "filled", (vectors * kernel_h * kernel_w - taps) * in_c


def _wide_depthwise_counts(graph: Graph, op: DepthwiseConv2D) -> Iterator[tuple[str, float]]:
    """Rows and taps of windows that lie in the image, for each pair of channels and a last one alone."""
    _, kernel_h, kernel_w, channels = graph.tensors[op.weights].shape
    _, out_h, out_w, _ = graph.tensors[op.output].shape
    ys, xs = window_taps(graph, op)
    pixels, rows, taps = out_h * out_w, sum(ys) * out_w, sum(ys) * sum(xs)
    yield "pixels", pixels
    yield "clipped", pixels * (kernel_h + kernel_w) - sum(ys) * out_w - sum(xs) * out_h
    for name, count in (("pair", channels // 2), ("last", channels % 2)):
        yield f"{name}s", pixels * count
        yield f"{name} rows", rows * count
        yield f"{name} taps", taps * count


def _dense_counts(graph: Graph, op: FullyConnected, call: KernelCall) -> Iterator[tuple[str, float]]:
    channels, depth = graph.tensors[op.weights].shape
    rows, words = graph.tensors[op.output].elements // channels, padded_depth(depth) // 4
    routine, tails = routine_name(call, "dot"), TAIL_STORES[channels % 4]
    yield "rows", rows
    yield "words", rows * (depth // 4)
    yield "rest", rows * (depth % 4 > 0)
    yield from _either("relu", routine, "groups", rows * (channels // 4))
    packing = 1.0 if weight_bits(graph, op) == 8 else _PACKED_STEP
    yield "steps", rows * (channels // 4) * words * packing
    yield "loops", rows * (channels // 4) * -(-words // 4)
    yield "tails", rows * len(tails)
    yield from _either("relu", routine, "tail outputs", rows * sum(tails))
    yield "tail steps", rows * len(tails) * words * packing


def _depthwise_counts(graph: Graph, op: DepthwiseConv2D, call: KernelCall) -> Iterator[tuple[str, float]]:
    _, _, in_w, channels = graph.tensors[op.input].shape
    _, out_h, _, outputs = graph.tensors[op.output].shape
    plane_w = number(call, "plane_w")
    mixes = _depthwise_mixes(call.sources[0], in_w)
    whole, chunks = _chunks(graph, op, number(call, "chunk_rows"))
    yield "filled values", chunks["first fill"] * plane_w
    cut = 0 if whole else channels
    yield "channels", channels - cut
    yield "cut channels", cut
    yield "chunks", cut * chunks["chunks"]
    yield "outputs", outputs * chunks["chunks"]
    yield "chunk filled values", cut * chunks["fill"] * plane_w
    yield "moved values", cut * chunks["moved"] * plane_w
    times = outputs * chunks["chunks"], outputs * out_h, channels * chunks["gathered"]
    for place, mix, count in zip(("prologue", "row", "gather"), mixes, times, strict=True):
        yield from ((f"{place} {kind}", count * mix[kind]) for kind in KINDS)


def _chunks(graph: Graph, op: DepthwiseConv2D, chunk_rows: int) -> tuple[bool, Mix]:
    """Return whether all rows fit the plane, and what a channel's chunks gather, fill and move, in plane rows."""
    in_h, out_h = graph.tensors[op.input].shape[1], graph.tensors[op.output].shape[1]
    stride, reach = op.stride_hw[0], (graph.tensors[op.weights].shape[1] - 1) * op.dilation_hw[0] + 1
    kept = max(reach - stride, 0)
    found = Mix({"first fill": (chunk_rows - 1) * stride + reach})
    row, held = 0, 0
    while row < out_h:
        rows = min(out_h - row, chunk_rows)
        first = row * stride - op.padding.top + held
        needed = (rows - 1) * stride + reach - held
        inside = max(0, min(first + needed, in_h) - max(first, 0))
        found += Mix({"chunks": 1, "gathered": inside, "fill": needed - inside})
        row, held = row + rows, kept
        found["moved"] += kept if row < out_h else 0
    return out_h <= chunk_rows, found


@lru_cache(maxsize=_REMEMBERED)
def _depthwise_mixes(source: KernelSource, columns: int) -> tuple[Mix, Mix, Mix]:
    """Return the instructions of a channel before its first row, of an output row, and of a gathered row."""
    channel, loader = source.routines()
    known, own = dict(channel.loops), {**column_turns(columns), **dict(loader.loops)}
    prologue, row = (executed(channel, {**known, OUTPUT_ROWS: turns}) for turns in (0, 1))
    row.subtract(prologue)
    before, gathered = (executed(loader, {**own, IMAGE_ROWS: turns}) for turns in (0, 1))
    gathered.subtract(before)
    return prologue, row, gathered
