"""Calls of the resizes, nearest-neighbor and bilinear, with the input rows and columns of every output as tables."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from services.compiler.codegen.operands import Operands
from services.compiler.codegen.program import ArrayRef, ConstArray, CType, Fields, KernelCall, Section, Values
from services.compiler.codegen.shapes import whole
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import ResizeBilinear, ResizeNearestNeighbor
from services.compiler.ir.shapes import row_stride
from services.compiler.quant.movement import bilinear_blend, nearest_indices


def resize_call(graph: Graph, op: ResizeNearestNeighbor, operands: Operands) -> KernelCall:
    """Return the call of a nearest-neighbor resize."""
    _, in_h, in_w, channels = graph.tensors[op.input].shape
    _, out_h, out_w, _ = graph.tensors[op.output].shape
    rows = ConstArray(f"{operands.label}_rows", Section.TABLE, CType.UINT16, out_h, _indices(op, in_h, out_h))
    cols = ConstArray(f"{operands.label}_cols", Section.TABLE, CType.UINT16, out_w, _indices(op, in_w, out_w))

    def fields() -> Fields:
        return (
            ("rows", ArrayRef(rows)),
            ("cols", ArrayRef(cols)),
            ("in_row_stride", row_stride(graph, op.input)),
            ("out_row_stride", row_stride(graph, op.output)),
            ("channels", channels),
        )

    pointers = operands.read(op.input), operands.write(op.output)
    region = whole(graph.tensors[op.output])
    return KernelCall("tf_resize_nearest_s8", "tf_resize_nearest_s8_params", fields, (rows, cols), pointers, region)


def resize_bilinear_call(graph: Graph, op: ResizeBilinear, operands: Operands) -> KernelCall:
    """Return the call of a bilinear resize."""
    source, result = graph.tensors[op.input].shape, graph.tensors[op.output].shape
    rows, row_parts = _blend(op, operands.label, "row", source[1], result[1])
    cols, col_parts = _blend(op, operands.label, "col", source[2], result[2])

    def fields() -> Fields:
        return (
            ("rows", ArrayRef(rows)),
            ("cols", ArrayRef(cols)),
            ("row_parts", ArrayRef(row_parts)),
            ("col_parts", ArrayRef(col_parts)),
            ("in_row_stride", row_stride(graph, op.input)),
            ("out_row_stride", row_stride(graph, op.output)),
            ("channels", result[3]),
        )

    return KernelCall(
        "tf_resize_bilinear_s8",
        "tf_resize_bilinear_s8_params",
        fields,
        (rows, cols, row_parts, col_parts),
        (operands.read(op.input), operands.write(op.output)),
        whole(graph.tensors[op.output]),
    )


def _blend(op: ResizeBilinear, label: str, axis: str, in_size: int, out_size: int) -> tuple[ConstArray, ConstArray]:
    """Return the pairs of input rows (or columns) of every output row, and where between them it lies."""

    def pairs() -> Values:
        blend = bilinear_blend(op, in_size, out_size)
        return np.stack([blend.low, blend.high], axis=1).astype(np.uint16).ravel()

    def parts() -> Values:
        return bilinear_blend(op, in_size, out_size).part.astype(np.int16)

    return (
        ConstArray(f"{label}_{axis}s", Section.TABLE, CType.UINT16, 2 * out_size, pairs),
        ConstArray(f"{label}_{axis}_parts", Section.TABLE, CType.INT16, out_size, parts),
    )


def _indices(op: ResizeNearestNeighbor, in_size: int, out_size: int) -> Callable[[], Values]:
    return lambda: np.array(nearest_indices(op, in_size, out_size), dtype=np.uint16)
