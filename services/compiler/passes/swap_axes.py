"""Operators whose images have rows and columns swapped: what each becomes, and what becomes of its constants."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar, assert_never

import numpy as np

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
    Padding,
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
from services.compiler.ir.shapes import nhwc
from services.compiler.ir.tensor import Tensor, TensorId

T = TypeVar("T")


def is_image(tensor: Tensor) -> bool:
    """Whether the tensor is [1, H, W, C]."""
    return len(tensor.shape) == 4 and tensor.shape[0] == 1


def is_pixel(tensor: Tensor) -> bool:
    """Whether the tensor, broadcast to four dimensions, has a row and a column at most: it is its own transposition."""
    return nhwc(tensor.shape)[:3] == (1, 1, 1)


def swap(tensor: Tensor) -> Tensor:
    """Return a tensor that broadcasts to [N, H, W, C] with its rows and columns, and their values, swapped."""
    shape = nhwc(tensor.shape)
    if shape[1:3] == (1, 1):
        return tensor
    data = None if tensor.data is None else np.ascontiguousarray(tensor.data.reshape(shape).swapaxes(1, 2))
    return replace(tensor, shape=_swapped(shape), data=data)


def swapped_op(graph: Graph, op: Op) -> Op | None:
    """Return the operator that makes of swapped images the swapped output, bit for bit; None if there is none.

    Names of tensors stay: those of images mean the swapped ones. What it reads and writes beside constants are images
    of integers and batch 1, or single pixels.
    """
    activations = [graph.tensors[t] for t in (*op.inputs, *op.outputs) if not graph.tensors[t].is_constant]
    if not all(is_image(t) or is_pixel(t) for t in activations) or _computes_weights(graph, op):
        return None
    if any(t.dtype.is_float for t in activations):  # integers are transposed: they are smaller
        return None
    match op:
        case Conv2D() | DepthwiseConv2D():
            return replace(
                op, stride_hw=_pair(op.stride_hw), dilation_hw=_pair(op.dilation_hw), padding=_padding(op.padding)
            )
        case AveragePool2D() | MaxPool2D():
            kernel, stride = _pair(op.kernel_hw), _pair(op.stride_hw)
            return replace(op, kernel_hw=kernel, stride_hw=stride, padding=_padding(op.padding))
        case Pad() if len(op.before) == 4:
            return replace(op, before=_swapped(op.before), after=_swapped(op.after))
        case StridedSlice() if len(op.begin) == 4 and is_image(graph.tensors[op.output]):
            return replace(op, begin=_swapped(op.begin), end=_swapped(op.end), strides=_swapped(op.strides))
        case Concatenation() | Split():
            return replace(op, axis=_axis(op.axis)) if all(map(is_image, activations)) else None
        case Mean() | Sum() if is_image(graph.tensors[op.input]):
            keeps = is_image(graph.tensors[op.output]) or {1, 2} <= set(op.axes)
            return replace(op, axes=tuple(sorted(map(_axis, op.axes)))) if keeps else None
        case (
            Add() | Sub() | Mul() | Maximum() | Minimum() | PRelu() | Logistic() | Tanh() | HardSwish() | Relu()
            | LeakyRelu() | Table() | Quantize() | Dequantize() | Softmax() | ImageSums() | MeanOfSums()
            | PoolOfSums() | ResizeNearestNeighbor() | ResizeBilinear()
        ):  # fmt: skip
            return op
        case (
            Pad() | StridedSlice() | Mean() | Sum() | FullyConnected() | Reshape() | Transpose() | TransposeImage()
            | RnnPool() | PullRows()
        ):  # fmt: skip
            return None
        case _:
            assert_never(op)


def _computes_weights(graph: Graph, op: Op) -> bool:
    return isinstance(op, Conv2D | DepthwiseConv2D) and not graph.tensors[op.weights].is_constant


def has_axes(op: Op, tensor: TensorId) -> bool:
    """Whether a tensor that the operator reads has rows and columns: a bias has not, nor a table."""
    match op:
        case Conv2D() | DepthwiseConv2D():
            return tensor != op.bias
        case Table():
            return tensor != op.table
        case _:
            return True


def _axis(axis: int) -> int:
    return {1: 2, 2: 1}.get(axis, axis)


def _padding(padding: Padding) -> Padding:
    return Padding(top=padding.left, bottom=padding.right, left=padding.top, right=padding.bottom)


def _pair(pair: tuple[T, T]) -> tuple[T, T]:
    return pair[1], pair[0]


def _swapped(values: tuple[int, ...]) -> tuple[int, int, int, int]:
    n, h, w, c = values
    return n, w, h, c
