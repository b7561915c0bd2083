"""Calls of the kernels that only move bytes: padding, joining, cutting, transposing, each as copies of boxes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from services.compiler.codegen.elementwise import table_call
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
from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.node import Node
from services.compiler.ir.ops import (
    Concatenation,
    Pad,
    Split,
    StridedSlice,
    Transpose,
)
from services.compiler.ir.shapes import Shape4, dense_strides, nhwc
from services.compiler.quant.requantize import activation_range
from services.compiler.quant.values import quant_of


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
