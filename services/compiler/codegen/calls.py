"""Which kernel calls carry out a step: one case an operator."""

from __future__ import annotations

from typing import assert_never

from services.compiler.codegen.elementwise import (
    add_call,
    dequantize_call,
    extremum_call,
    lut_call,
    mul_call,
    prelu_call,
    quantize_call,
    quantize_pulled_call,
    softmax_call,
)
from services.compiler.codegen.int16 import rescale_call, sigmoid_call, softmax_int16_call, weighted_call
from services.compiler.codegen.means import image_sums_call, mean_call, mean_of_sums_call, pool_of_sums_call
from services.compiler.codegen.movement import (
    concatenation_calls,
    pad_calls,
    slice_calls,
    split_calls,
    transpose_calls,
)
from services.compiler.codegen.operands import Operands
from services.compiler.codegen.patched import on_patch
from services.compiler.codegen.pooling import pool_call
from services.compiler.codegen.program import KernelCall, Layer, LayerTurn, Program, Turns
from services.compiler.codegen.resizing import resize_bilinear_call, resize_call
from services.compiler.codegen.rnn_pool import rnn_pool_call
from services.compiler.codegen.thumb1 import thumb1_calls
from services.compiler.codegen.thumb2 import thumb2_calls
from services.compiler.codegen.transpose_image import transpose_image_call
from services.compiler.codegen.weighted import conv2d_call, depthwise_conv2d_call, fully_connected_call
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
from services.compiler.ir.tensor import DType
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.memory.arena import ArenaPlan
from services.compiler.schedule.per_layer import alias_roots
from services.compiler.schedule.schedule import Schedule, StageKind, Turn


def lower(graph: Graph, schedule: Schedule, plan: ArenaPlan, kernels: KernelSet = KernelSet.PORTABLE) -> Program:
    """Return the calls of a planned schedule, one layer a step."""
    buffers = {b.id: b for b in schedule.buffers}
    roots = alias_roots(graph)
    layers: list[Layer] = []
    stages: list[Turns] = []
    for stage in schedule.stages:
        start = len(layers)
        for index, step in enumerate(stage.steps, start):
            operands = Operands(graph, step, f"{index:03}", buffers, plan, roots, stage.steps[0].op_index)
            op = graph.ops[step.op_index]
            calls = _calls(graph, op, operands, kernels)
            if stage.kind is StageKind.PATCH:
                calls = tuple(on_patch(graph, op, operands, call) for call in calls)
            pulls = operands.write(op.output) if isinstance(op, PullRows) else None
            layers.append(Layer(index, step.op_index, calls, stage.kind, pulls, index - start))
        if stage.turns:
            stages.append(Turns(start, len(layers), tuple(_turn(start, t) for t in stage.turns), stage.kind))
    return Program(tuple(layers), tuple(stages))


def _turn(start: int, turn: Turn) -> LayerTurn:
    region = turn.region
    return LayerTurn(start + turn.step, (region.row_start, region.row_stop), (region.col_start, region.col_stop))


def _calls(graph: Graph, op: Op, operands: Operands, kernels: KernelSet) -> tuple[KernelCall, ...]:
    own = _own_calls(graph, op, operands, kernels)
    return own or _int16_calls(graph, op, operands) or _portable_calls(graph, op, operands)


def _own_calls(graph: Graph, op: Op, operands: Operands, kernels: KernelSet) -> tuple[KernelCall, ...] | None:
    """Return the calls of the core's own kernels, or None where the operator needs the portable one."""
    match kernels:
        case KernelSet.PORTABLE:
            return None
        case KernelSet.THUMB2:
            return thumb2_calls(graph, op, operands)
        case KernelSet.THUMB2_SMALL:
            return thumb2_calls(graph, op, operands, small=True)
        case KernelSet.THUMB1:
            return thumb1_calls(graph, op, operands)
        case _:
            assert_never(kernels)


def _int16_calls(graph: Graph, op: Op, operands: Operands) -> tuple[KernelCall, ...] | None:
    """Return the calls of portable kernels that int16 has to itself, or None where a call serves all types."""
    if not _is_int16(graph, op):
        return None
    match op:
        case Conv2D() | DepthwiseConv2D() | FullyConnected():
            return (weighted_call(graph, op, operands),)
        case Softmax():
            return (softmax_int16_call(graph, op, operands),)
        case Logistic() | Tanh():
            return (sigmoid_call(graph, op, operands),)
        case Relu() | Quantize():
            return (rescale_call(graph, op, operands),)
        case _:
            return None


def _is_int16(graph: Graph, op: Op) -> bool:
    """Whether integers of 16 bits go in or out; Quantize and Dequantize have float32 on the other side, or 8 bits."""
    types = {graph.tensors[t].dtype for t in (op.input, op.output)}
    return DType.INT16 in types and DType.FLOAT32 not in types


def _portable_calls(graph: Graph, op: Op, operands: Operands) -> tuple[KernelCall, ...]:
    match op:
        case Conv2D():
            return (conv2d_call(graph, op, operands),)
        case DepthwiseConv2D():
            return (depthwise_conv2d_call(graph, op, operands),)
        case FullyConnected():
            return (fully_connected_call(graph, op, operands),)
        case Add() | Sub():
            return (add_call(graph, op, operands),)
        case Mul():
            return (mul_call(graph, op, operands),)
        case Maximum() | Minimum():
            return (extremum_call(graph, op, operands),)
        case PRelu():
            return (prelu_call(graph, op, operands),)
        case AveragePool2D() | MaxPool2D():
            return (pool_call(graph, op, operands),)
        case Mean() | Sum():
            return (mean_call(graph, op, operands),)
        case ImageSums():
            return (image_sums_call(graph, op, operands),)
        case MeanOfSums():
            return (mean_of_sums_call(graph, op, operands),)
        case PoolOfSums():
            return (pool_of_sums_call(graph, op, operands),)
        case Pad():
            return pad_calls(graph, op, operands)
        case Softmax():
            return (softmax_call(graph, op, operands),)
        case Logistic() | Tanh() | HardSwish() | Relu() | LeakyRelu() | Table():
            return (lut_call(graph, op, operands),)
        case Concatenation():
            return concatenation_calls(graph, op, operands)
        case StridedSlice():
            return slice_calls(graph, op, operands)
        case Split():
            return split_calls(graph, op, operands)
        case Transpose():
            return transpose_calls(graph, op, operands)
        case TransposeImage():
            return (transpose_image_call(graph, op, operands),)
        case ResizeNearestNeighbor():
            return (resize_call(graph, op, operands),)
        case RnnPool():
            return (rnn_pool_call(graph, op, operands),)
        case ResizeBilinear():
            return (resize_bilinear_call(graph, op, operands),)
        case Quantize():
            from_float = graph.tensors[op.input].dtype.is_float
            return (quantize_call(graph, op, operands) if from_float else lut_call(graph, op, operands),)
        case Dequantize():
            return (dequantize_call(graph, op, operands),)
        case PullRows():  # no kernel but what converts rows on their way: the caller's function
            alike = graph.tensors[op.input].dtype is graph.tensors[op.output].dtype
            return () if alike else (quantize_pulled_call(graph, op, operands),)
        case Reshape():
            raise AssertionError("a reshape is no step: both its sides name the same buffer")
        case _:
            assert_never(op)
