"""The counts of layers that run in turns: each turn is a layer whose images are what it reads and writes.

Kernels that only move bytes are cut by their own parameters, which tell which rows of a turn are a call's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from services.compiler.codegen.program import ArenaRef, KernelCall, Layer
from services.compiler.cost.kernel_counts import Counts, layer_counts
from services.compiler.cost.movement_counts import movement_counts
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Concatenation, Conv2D, DepthwiseConv2D, Op, Pad, Split, StridedSlice
from services.compiler.ir.tensor import Tensor
from services.compiler.schedule.rows import Window, window
from services.compiler.schedule.schedule import StageKind

Span = tuple[int, int]
Box = tuple[Span, Span]  # output rows and columns
Widths = tuple[int | None, int | None]  # of the buffers of the first input and the output


_Along = tuple[int, int, int]  # on one axis: how many are read of the first input, and written, and padding before


@dataclass(frozen=True, slots=True)
class Part:
    """What a run of a kernel reads and writes, by rows and by columns; None are all columns."""

    rows: _Along
    columns: _Along | None = None


def counts_in_turns(graph: Graph, op: Op, layer: Layer, boxes: Sequence[Box], widths: Widths | None) -> Counts:
    """Return the counts of all turns of a layer, which compute these boxes.

    `widths` are those of `turn_parts`, None where the layer's pointers tell.
    """
    if isinstance(op, Pad | Concatenation | StridedSlice | Split):
        found = ((f"{call.function} {name}", n) for call in layer.calls for name, n in _moved(call, boxes))
    else:
        parts = turn_parts(graph, op, layer.kind, boxes, widths or patch_widths(layer)).items()
        found = ((key, times * n) for part, times in parts for key, n in part_counts(graph, op, layer, part).items())
    counts: Counts = {}
    for name, count in found:
        counts[name] = counts.get(name, 0.0) + count
    return counts


def _moved(call: KernelCall, boxes: Sequence[Box]) -> Iterator[tuple[str, float]]:
    """Yield the counts of all turns of a call, which are of whole rows."""
    yield "calls", len(boxes)
    yield from movement_counts(call, [rows for rows, _ in boxes])


def turn_parts(graph: Graph, op: Op, kind: StageKind, boxes: Iterable[Box], widths: Widths) -> Counter[Part]:
    """Return how often the kernel runs over which parts, for turns that compute these boxes.

    `widths` are the columns of the buffers that a patch is read from and written to. Convolutions take rows that are
    as wide as their buffers as one run of pixels, others one by one.
    """
    down = window(graph, op, op.input)
    if kind is not StageKind.PATCH:
        return Counter(Part(_along(down, *rows)) for rows, _ in boxes)
    across = window(graph, op, op.input, 2)
    found: Counter[Part] = Counter()
    for rows, columns in boxes:
        beside = _along(across, *columns)
        whole = not isinstance(op, Conv2D) or _is_one_run(graph, op, beside, widths)
        spans = [rows] if whole else [(row, row + 1) for row in range(*rows)]
        found.update(Part(_along(down, *each), beside) for each in spans)
    return found


def patch_widths(layer: Layer) -> Widths:
    """Return the columns of the buffers that hold patches of a layer's first input and output; None if all of it."""
    arena = [p for p in layer.calls[0].pointers if isinstance(p, ArenaRef)][:2]
    source, result = (None if p.patch is None else p.patch.row_bytes // p.patch.column_bytes for p in arena)
    return source, result


def _is_one_run(graph: Graph, op: Conv2D, columns: _Along, widths: Widths) -> bool:
    read, written, _ = columns
    if written != (widths[1] or graph.tensors[op.output].shape[2]):
        return False
    pixelwise = graph.tensors[op.weights].shape[1:3] == (1, 1)
    return not pixelwise or read == (widths[0] or graph.tensors[op.input].shape[2])


def _along(slid: Window, start: int, stop: int) -> _Along:
    low, high = slid.needed(start, stop)
    # windows that lie in the padding altogether read nothing; one is the least that a tensor has
    return max(1, high - low), stop - start, max(0, -start * slid.stride - slid.offset)


def part_counts(graph: Graph, op: Op, layer: Layer, part: Part) -> Counts:
    """Return the counts of one run of the kernel over a part."""
    held = {t: _cut(graph.tensors[t], part, 0) for t in op.inputs if not graph.tensors[t].is_constant}
    if not _keeps_sums(op):
        held |= {t: _cut(graph.tensors[t], part, 1) for t in op.outputs}
    if isinstance(op, Conv2D | DepthwiseConv2D):
        left = op.padding.left if part.columns is None else part.columns[2]
        op = replace(op, padding=replace(op.padding, top=part.rows[2], left=left))
    # of sums only the first part begins where the image does
    first = 1 if _keeps_sums(op) else 0
    return layer_counts(graph.with_tensors(held), op, tuple(_calls(layer, part, first)))


def _keeps_sums(op: Op) -> bool:
    """Whether every part adds to the whole output."""
    return op.swept not in op.outputs


def _calls(layer: Layer, part: Part, first: int) -> Iterator[KernelCall]:
    for call in layer.calls:
        columns = call.region.cols if part.columns is None else (0, part.columns[1])
        yield replace(call, region=replace(call.region, rows=(first, first + part.rows[1]), cols=columns))


def _cut(tensor: Tensor, part: Part, side: int) -> Tensor:
    n, h, w, c = tensor.shape
    rows = 1 if h == 1 else part.rows[side]  # what is broadcast stays so
    columns = w if part.columns is None or w == 1 else part.columns[side]
    return replace(tensor, shape=(n, rows, columns, c))
