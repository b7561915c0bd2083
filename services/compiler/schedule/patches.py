"""Patches: operators run once a patch of what they make at last, with what their windows reach beyond (the halo).

What lies between their inputs and outputs is held for one patch only; the halo is computed again for every patch that
needs it. Source: MCUNetV2 (NeurIPS 2021).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import (
    Add,
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    HardSwish,
    LeakyRelu,
    Logistic,
    Maximum,
    MaxPool2D,
    Minimum,
    Mul,
    Op,
    PRelu,
    Quantize,
    Relu,
    RnnPool,
    Sub,
    Table,
    Tanh,
)
from services.compiler.ir.planned_ops import ImageSums, PullRows
from services.compiler.ir.tensor import DType, TensorId
from services.compiler.schedule.rows import is_row_wise, pulls_whole_rows, window
from services.compiler.schedule.schedule import Region

_PATCHED = (
    Conv2D, DepthwiseConv2D, AveragePool2D, MaxPool2D, RnnPool, Add, Sub, Mul, Maximum, Minimum, PRelu, Logistic, Tanh,
    HardSwish, Relu, LeakyRelu, Table, Quantize, PullRows, ImageSums,
)  # fmt: skip

Grid = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Patches:
    """Operators [start, stop) over a grid of patches: `regions[patch][op]` is what an operator goes through, of its
    output or of the image that it sums; operators by their places in the stage.

    `extents` are the rows and columns of the largest patch of every tensor that nothing outside reads.

    Kernels for depthwise convolutions are made for a width: that of all columns, of inputs and outputs that are held
    as wide, or that of the widest patch. Of a narrower one some columns behind it are then written, too. They lie in
    its own buffer, or the patches to the right write them again: of a tensor that is held whole the last patches are
    the widest, and nothing inside the stage reads it, or all of its columns are computed for every patch.
    """

    start: int
    stop: int
    grid: Grid
    regions: tuple[tuple[Region, ...], ...]
    extents: Mapping[TensorId, tuple[int, int]]

    def extent(self, op: int) -> tuple[int, int]:
        """Return the most rows and columns that an operator computes for a patch."""
        return _extent([patch[op] for patch in self.regions])

    def life(self, graph: Graph, tensor: TensorId) -> tuple[int, int]:
        """Return the first and last operator of a patch that has to do with the tensor."""
        touched = [n for n, op in enumerate(graph.ops[self.start : self.stop]) if tensor in (*op.inputs, *op.outputs)]
        return touched[0], touched[-1]


def can_patch(graph: Graph, op: Op) -> bool:
    """Whether the operator can compute any part of an image from a part of its inputs."""
    types = {graph.tensors[t].dtype for t in (op.input, op.output)}
    if isinstance(op, Relu | Logistic | Tanh | Quantize) and DType.INT16 in types and DType.FLOAT32 not in types:
        return False  # their kernels know one stride for both sides, and patches of both differ
    return isinstance(op, _PATCHED) and is_row_wise(graph, op)


def sum_stages(graph: Graph) -> tuple[tuple[tuple[int, int], ...], int]:
    """Return the runs of operators [start, stop) at the beginning that end with sums of an image, and the first
    operator behind them that goes through an image again: it is made once more, now that its mean is known.

    Inputs that are converted as a whole come before them.
    """
    found: list[tuple[int, int]] = []
    start = converted_inputs(graph)
    for index, op in enumerate(graph.ops[start:], start):
        if isinstance(op, ImageSums):
            found.append((start, index + 1))
            start = index + 1
        elif start == index and found and graph.tensors[op.swept].elements == graph.tensors[op.swept].shape[-1]:
            start = index + 1  # gates, a value for every channel
        elif not can_patch(graph, op):
            break
    return tuple(found), start


def converted_inputs(graph: Graph) -> int:
    """Return how many operators at the beginning quantize inputs that nothing else reads: they need no patches.

    An input in the arena is there as a whole, and the integers are written over it: floats, four times their bytes,
    are gone before the first patch.
    """
    readers = graph.consumers()
    for index, op in enumerate(graph.ops):
        if not isinstance(op, Quantize) or op.input not in graph.inputs or len(readers[op.input]) > 1:
            return index
        if op.input in graph.outputs or graph.tensors[op.input].size_bytes < graph.tensors[op.output].size_bytes:
            return index
    return len(graph.ops)


def patches(graph: Graph, stop: int, grid: Grid, start: int = 0) -> Patches | None:
    """Return the stage of operators [start, stop); None if what it makes has fewer rows or columns than the grid."""
    ops = graph.ops[start:stop]
    made = {t for op in ops for t in op.outputs}
    outside = {t for op in graph.ops[stop:] for t in op.inputs} | set(graph.outputs)
    read = {t for op in ops for t in op.inputs}
    whole = {t for t in made if t in outside or t not in read}
    swept = {t: graph.tensors[op.swept].shape for op in ops for t in op.outputs}
    if any(swept[t][at + 1] < grid[at] for t in whole for at in (0, 1)):
        return None
    wide = {op.output for op in ops if isinstance(op, DepthwiseConv2D) and op.output in whole & read}
    while True:
        made_of = [
            _needed(graph, ops, _Outputs({t: swept[t][1:3] for t in whole}, wide), grid, (row, column))
            for row in range(grid[0])
            for column in range(grid[1])
        ]
        if grid[1] == 1 or not (uneven := _uneven(graph, ops, made_of)):
            break
        wide |= uneven
    regions = tuple(made_of)
    parts = {t: [patch[n] for patch in regions] for n, op in enumerate(ops) for t in op.outputs}
    extents = {t: _extent(found) for t, found in parts.items() if t not in whole}
    return Patches(start, stop, grid, regions, extents)


@dataclass(frozen=True, slots=True)
class _Outputs:
    """Tensors that are held whole, by the rows and columns of what their makers go through, and those of which every
    patch computes whole rows.
    """

    whole: Mapping[TensorId, tuple[int, ...]]
    wide: set[TensorId]


def _uneven(graph: Graph, ops: tuple[Op, ...], regions: Sequence[Sequence[Region]]) -> set[TensorId]:
    """Return the outputs of depthwise convolutions of which some patches compute all columns, but not every one."""
    found = set[TensorId]()
    for n, op in enumerate(ops):
        if isinstance(op, DepthwiseConv2D):
            width = graph.tensors[op.output].shape[2]
            if len({patch[n].col_stop - patch[n].col_start == width for patch in regions}) > 1:
                found.add(op.output)
    return found


def _needed(graph: Graph, ops: tuple[Op, ...], outputs: _Outputs, grid: Grid, at: Grid) -> tuple[Region, ...]:
    """Return what every operator must compute for one patch of the outputs, from the last operator back."""
    needed: dict[TensorId, Region] = {}
    for t, (height, width) in outputs.whole.items():
        needed[t] = Region(*_part(height, grid[0], at[0]), *_part(width, grid[1], at[1]))
    found: list[Region] = []
    for op in reversed(ops):
        (own,) = (needed[t] for t in op.outputs)
        width = graph.tensors[op.swept].shape[2]
        if pulls_whole_rows(graph, op) or op.output in outputs.wide:
            own = replace(own, col_start=0, col_stop=width)
        found.append(own)
        for t in dict.fromkeys(op.inputs):
            if not graph.tensors[t].is_constant:
                rows = window(graph, op, t, 1).needed(own.row_start, own.row_stop)
                columns = window(graph, op, t, 2).needed(own.col_start, own.col_stop)
                if isinstance(op, DepthwiseConv2D) and own.col_stop - own.col_start == width:
                    columns = 0, graph.tensors[t].shape[2]
                needed[t] = _joined(Region(*_not_empty(rows), *_not_empty(columns)), needed.get(t))
    return tuple(reversed(found))


def _extent(regions: Sequence[Region]) -> tuple[int, int]:
    return max(r.row_stop - r.row_start for r in regions), max(r.col_stop - r.col_start for r in regions)


def _part(size: int, parts: int, number: int) -> tuple[int, int]:
    return size * number // parts, size * (number + 1) // parts


def _not_empty(span: tuple[int, int]) -> tuple[int, int]:
    """Windows that see only padding still name a place: a row or column at the image's edge."""
    low, high = span
    return (low, high) if low < high else (max(0, low - 1), max(1, low))


def _joined(one: Region, other: Region | None) -> Region:
    if other is None:
        return one
    return Region(
        min(one.row_start, other.row_start),
        max(one.row_stop, other.row_stop),
        min(one.col_start, other.col_start),
        max(one.col_stop, other.col_stop),
    )
