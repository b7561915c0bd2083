"""Calls of the kernels that pool or only move bytes: pools, copies of boxes, resizes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from services.compiler.codegen.elementwise import activation_suffix, table_call
from services.compiler.codegen.operands import Operands
from services.compiler.codegen.program import (
    ArenaRef,
    ArrayRef,
    ConstArray,
    CType,
    Fields,
    KernelCall,
    RegionArg,
    Section,
    Values,
)
from services.compiler.codegen.shapes import output_fields, whole
from services.compiler.codegen.weighted import window_fields
from services.compiler.ir.graph import Graph
from services.compiler.ir.node import Node
from services.compiler.ir.ops import (
    Activation,
    AveragePool2D,
    Concatenation,
    MaxPool2D,
    Pad,
    ResizeBilinear,
    ResizeNearestNeighbor,
    Split,
    StridedSlice,
    Transpose,
)
from services.compiler.ir.shapes import Shape4, dense_strides, nhwc, row_stride
from services.compiler.quant.movement import bilinear_blend, nearest_indices
from services.compiler.quant.requantize import activation_range
from services.compiler.quant.values import output_zero_point, quant_of


def pool_call(graph: Graph, op: AveragePool2D | MaxPool2D, operands: Operands) -> KernelCall:
    """Return the call of a pool."""

    def fields() -> Fields:
        tensor = graph.tensors[op.output]
        limits = activation_range(op.activation, quant_of(graph, op.output), tensor.dtype)
        return (
            ("in_row_stride", row_stride(graph, op.input)),
            ("out_row_stride", row_stride(graph, op.output)),
            ("channels", tensor.shape[3]),
            ("window", window_fields(graph, op)),
            ("out", output_fields(output_zero_point(graph, op), limits)),
        )

    kind = "tf_max_pool2d" if isinstance(op, MaxPool2D) else "tf_average_pool2d"
    function = f"{kind}_{activation_suffix(graph, op)}"
    pointers = operands.read(op.input), operands.write(op.output)
    return KernelCall(function, "tf_pool2d_s8_params", fields, (), pointers, whole(graph.tensors[op.output]))


def pad_calls(graph: Graph, op: Pad, operands: Operands) -> tuple[KernelCall, ...]:
    """Return the calls of a padding: fill everything, then copy the input into its place."""
    shape, out_shape = nhwc(graph.tensors[op.input].shape), nhwc(graph.tensors[op.output].shape)
    before = (0,) * (4 - len(op.before)) + op.before
    n, h, w, c = out_shape
    size = element_bytes(graph, op)

    def fields() -> Fields:
        return ("out_row_stride", w * c * size), ("col_elements", c * size), ("value", op.value)

    target = replace(operands.write(op.output), ctype=CType.INT8)
    rows = RegionArg((0, n * h), (0, w))
    fill = KernelCall("tf_fill_s8", "tf_fill_s8_params", fields, (), (target,), rows)
    strides = dense_strides(out_shape)
    box = _copy(shape, dense_strides(shape), strides, 0, _dot(before, strides), corner=(before[1], before[2]))
    return fill, _copy_call(box, operands.read(op.input), target, (h, w), size)


def concatenation_calls(graph: Graph, op: Concatenation, operands: Operands) -> tuple[KernelCall, ...]:
    """Return a copy an input, then, if an activation is fused, the clamp by table in place."""
    out_shape = nhwc(graph.tensors[op.output].shape)
    strides = dense_strides(out_shape)
    axis = op.axis + 4 - len(graph.tensors[op.output].shape)
    target = operands.write(op.output)
    calls = []
    at = 0
    for t in op.inputs:
        shape = nhwc(graph.tensors[t].shape)
        corner = at if axis == 1 else 0, at if axis == 2 else 0
        box = _copy(shape, dense_strides(shape), strides, 0, at * strides[axis], corner=corner)
        calls.append(_copy_call(box, operands.read(t), target, (out_shape[1], out_shape[2]), element_bytes(graph, op)))
        at += shape[axis]
    if op.activation is not Activation.NONE:
        clamp = ConstArray(f"{operands.label}_clamp", Section.TABLE, CType.INT8, 256, lambda: _clamp_table(graph, op))
        calls.append(table_call(graph, clamp, target, target, op.output))
    return tuple(calls)


def slice_calls(graph: Graph, op: StridedSlice, operands: Operands) -> tuple[KernelCall, ...]:
    """Return the copy of a strided box; the output may have dropped dimensions, so the box keeps the input's."""
    lead = 4 - len(op.begin)
    in_strides = dense_strides(nhwc(graph.tensors[op.input].shape))
    picked = [range(*limits) for limits in zip(op.begin, op.end, op.strides, strict=True)]
    size = _shape4([1] * lead + [len(p) for p in picked])
    steps = _shape4(s * p for s, p in zip(in_strides, [1] * lead + list(op.strides), strict=True))
    begin = _dot([0] * lead + list(op.begin), in_strides)
    box = _copy(size, steps, dense_strides(size), begin, 0, corner=(0, 0))
    pointers = operands.read(op.input), operands.write(op.output)
    return (_copy_call(box, *pointers, (size[1], size[2]), element_bytes(graph, op)),)


def split_calls(graph: Graph, op: Split, operands: Operands) -> tuple[KernelCall, ...]:
    """Return a copy an output."""
    in_shape = graph.tensors[op.input].shape
    strides = dense_strides(nhwc(in_shape))
    axis = op.axis + 4 - len(in_shape)
    calls = []
    at = 0
    for t in op.outputs:
        shape = nhwc(graph.tensors[t].shape)
        box = _copy(shape, strides, dense_strides(shape), at * strides[axis], 0, corner=(0, 0))
        pointers = operands.read(op.input), operands.write(t)
        calls.append(_copy_call(box, *pointers, (shape[1], shape[2]), element_bytes(graph, op)))
        at += shape[axis]
    return tuple(calls)


def transpose_calls(graph: Graph, op: Transpose, operands: Operands) -> tuple[KernelCall, ...]:
    """Return the copy of a box whose input strides are permuted; elements of more bytes stay side by side."""
    lead = 4 - len(op.permutation)
    permutation = [*range(lead), *(p + lead for p in op.permutation)]
    in_strides = dense_strides(nhwc(graph.tensors[op.input].shape))
    size = nhwc(graph.tensors[op.output].shape)
    box = _copy(size, _shape4(in_strides[p] for p in permutation), dense_strides(size), 0, 0, corner=(0, 0))
    pointers = operands.read(op.input), operands.write(op.output)
    return (_copy_call(box, *pointers, (size[1], size[2]), element_bytes(graph, op)),)


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


def _clamp_table(graph: Graph, op: Concatenation) -> Values:
    tensor = graph.tensors[op.output]
    low, high = activation_range(op.activation, quant_of(graph, op.output), tensor.dtype)
    bytes_in_order = np.arange(256, dtype=np.uint8).view(tensor.dtype.numpy)
    return np.clip(bytes_in_order, low, high).view(np.int8)


def _copy(
    size: Shape4, in_stride: Shape4, out_stride: Shape4, in_offset: int, out_offset: int, *, corner: tuple[int, int]
) -> Fields:
    """Return the initializer of `tf_copy_s8_params`, neighboring dimensions merged where both sides are dense."""
    if corner[1] == 0 and in_stride[2] == size[3] == out_stride[2] and in_stride[3] == out_stride[3] == 1:
        size = size[0], size[1], 1, size[2] * size[3]
    return (
        ("size", size),
        ("in_stride", in_stride),
        ("out_stride", out_stride),
        ("in_offset", in_offset),
        ("out_offset", out_offset),
        ("out_row", corner[0]),
        ("out_col", corner[1]),
    )


def _copy_call(
    box: Fields, source: ArenaRef | ArrayRef, target: ArenaRef, out_hw: tuple[int, int], size: int = 1
) -> KernelCall:
    """Return the copy of a box of elements of so many bytes; wider ones lie side by side in the last dimension."""
    region = RegionArg((0, out_hw[0]), (0, out_hw[1]))
    read = replace(source, ctype=CType.INT8) if isinstance(source, ArenaRef) else source
    pointers = read, replace(target, ctype=CType.INT8)
    return KernelCall("tf_copy_s8", "tf_copy_s8_params", lambda: _in_bytes(box, size), (), pointers, region)


def _in_bytes(box: Fields, size: int) -> Fields:
    if size == 1:
        return box
    fields = dict(box)
    for name in ("in_stride", "out_stride"):
        *outer, inner = cast(Shape4, fields[name])
        if inner != 1:
            raise AssertionError(f"elements of {size} bytes are copied with stride {inner}")
        fields[name] = (*(s * size for s in outer), 1)
    n, h, w, c = cast(Shape4, fields["size"])
    offsets = {name: cast(int, fields[name]) * size for name in ("in_offset", "out_offset")}
    return tuple({**fields, "size": (n, h, w, c * size), **offsets}.items())


def element_bytes(graph: Graph, op: Node) -> int:
    """Return the bytes of an element of the operator's output."""
    return graph.tensors[op.output].dtype.bits // 8


def _shape4(values: Iterable[int]) -> Shape4:
    n, h, w, c = values
    return n, h, w, c


def _dot(a: Sequence[int], b: Sequence[int]) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True))
