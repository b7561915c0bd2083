"""The semantics in Python: a numpy interpreter of graphs, bit for bit equal to TFLM's reference kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

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
from services.compiler.ir.tensor import DType, TensorId, quoted
from services.compiler.quant.affine import dequantize, quantize
from services.compiler.quant.convolution import conv2d, depthwise_conv2d, fully_connected
from services.compiler.quant.elementwise import add, extremum, mul, prelu
from services.compiler.quant.interpolated import logistic_int16, softmax_int16, tanh_int16
from services.compiler.quant.lut import apply_table, rescale
from services.compiler.quant.movement import concatenate, pad, resize_bilinear, resize_nearest, split, strided_slice
from services.compiler.quant.pooling import average_pool, image_sums, max_pool, mean, mean_of_sums, pool_of_sums
from services.compiler.quant.rnn_pool import rnn_pool
from services.compiler.quant.softmax import softmax
from services.compiler.quant.values import Array, quant_of


def run_graph(graph: Graph, inputs: Sequence[Array]) -> tuple[Array, ...]:
    """Return the graph's outputs for one sample, given one array an input in the graph's order.

    Raises ValueError if an input's shape or type is not the tensor's, or if the graph has constants without data.
    """
    values = run_all_tensors(graph, inputs)
    return tuple(values[t] for t in graph.outputs)


def run_all_tensors(graph: Graph, inputs: Sequence[Array]) -> Mapping[TensorId, Array]:
    """Return every tensor of the graph for one sample: the inputs, the constants and what each operator wrote."""
    values = {**_constants(graph), **_checked_inputs(graph, inputs)}
    for op in graph.ops:
        arguments = [values[t] for t in op.inputs]
        values.update(zip(op.outputs, run_op(graph, op, arguments), strict=True))
    return values


def _constants(graph: Graph) -> dict[TensorId, Array]:
    constants = {t: tensor for t, tensor in graph.tensors.items() if tensor.is_constant}
    if bare := [tensor.name for tensor in constants.values() if tensor.data is None]:
        raise ValueError(f"constant {quoted(bare[0])} has no data: a weight-free network cannot be run")
    return {t: tensor.data for t, tensor in constants.items() if tensor.data is not None}


def _checked_inputs(graph: Graph, inputs: Sequence[Array]) -> dict[TensorId, Array]:
    if len(inputs) != len(graph.inputs):
        raise ValueError(f"graph {quoted(graph.name)} has {len(graph.inputs)} inputs, {len(inputs)} arrays were given")
    for t, values in zip(graph.inputs, inputs, strict=True):
        tensor = graph.tensors[t]
        if values.shape != tensor.shape or values.dtype != tensor.dtype.numpy:
            raise ValueError(
                f"input {quoted(tensor.name)} is {values.dtype}{list(values.shape)}: "
                f"must be {tensor.dtype.value}{list(tensor.shape)}"
            )
    return dict(zip(graph.inputs, inputs, strict=True))


def run_op(graph: Graph, op: Op, arguments: Sequence[Array]) -> tuple[Array, ...]:
    """Return what one operator writes, given the arrays it reads in the order of `op.inputs`."""
    if isinstance(op, Split):
        return split(graph, op, arguments[0])
    return (_run_single(graph, op, arguments),)


def _run_single(graph: Graph, op: Op, arguments: Sequence[Array]) -> Array:
    x = arguments[0]
    match op:
        case Conv2D():
            return conv2d(graph, op, x, arguments[1], _bias(arguments))
        case DepthwiseConv2D():
            return depthwise_conv2d(graph, op, x, arguments[1], _bias(arguments))
        case FullyConnected():
            return fully_connected(graph, op, x, arguments[1], _bias(arguments))
        case Add() | Sub():
            return add(graph, op, x, arguments[1])
        case Mul():
            return mul(graph, op, x, arguments[1])
        case Maximum() | Minimum():
            return extremum(op, x, arguments[1])
        case PRelu():
            return prelu(graph, op, x, arguments[1])
        case AveragePool2D():
            return average_pool(graph, op, x)
        case MaxPool2D():
            return max_pool(graph, op, x)
        case Mean() | Sum():
            return mean(graph, op, x)
        case ImageSums():
            return image_sums(x)
        case MeanOfSums():
            return mean_of_sums(graph, op, x)
        case PoolOfSums():
            return pool_of_sums(graph, op, x)
        case Softmax():
            return softmax_int16(graph, op, x) if x.dtype == np.int16 else softmax(graph, op, x)
        case Logistic() if x.dtype == np.int16:
            return logistic_int16(graph, op, x)
        case Tanh() if x.dtype == np.int16:
            return tanh_int16(graph, op, x)
        case Relu() if x.dtype == np.int16:
            return rescale(graph, op, x)
        case Logistic() | Tanh() | HardSwish() | Relu() | LeakyRelu() | Table():
            return apply_table(graph, op, x)
        case Quantize():
            return _quantize(graph, op, x)
        case Dequantize():
            return dequantize(x, quant_of(graph, op.input))
        case Pad():
            return pad(op, x)
        case PullRows():
            result = graph.tensors[op.output].dtype
            return x if graph.tensors[op.input].dtype is result else quantize(x, quant_of(graph, op.output), result)
        case Reshape():
            return x.reshape(graph.tensors[op.output].shape)
        case Concatenation():
            return concatenate(graph, op, arguments)
        case StridedSlice():
            return strided_slice(graph, op, x)
        case Split():
            raise AssertionError("Split writes several tensors: run_op handles it")
        case Transpose():
            return np.transpose(x, op.permutation)
        case TransposeImage():
            return np.transpose(x, (0, 2, 1, 3))
        case ResizeNearestNeighbor():
            return resize_nearest(graph, op, x)
        case RnnPool():
            return rnn_pool(graph, op, arguments)
        case ResizeBilinear():
            return resize_bilinear(graph, op, x)
        case _:
            assert_never(op)


def _bias(arguments: Sequence[Array]) -> Array | None:
    return arguments[2] if len(arguments) > 2 else None


def _quantize(graph: Graph, op: Quantize, x: Array) -> Array:
    """From float32, or from one integer type to another."""
    source, result = graph.tensors[op.input].dtype, graph.tensors[op.output].dtype
    if source.is_float:
        return quantize(x, quant_of(graph, op.output), result)
    return rescale(graph, op, x) if DType.INT16 in (source, result) else apply_table(graph, op, x)
