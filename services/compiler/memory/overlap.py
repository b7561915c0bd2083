"""Where a step's output may lie over its input: what each kernel's order of reads and writes allows."""

from __future__ import annotations

from dataclasses import dataclass
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
    MaxPool2D,
    Mean,
    Mul,
    Op,
    Pad,
    Quantize,
    Relu,
    Reshape,
    ResizeNearestNeighbor,
    Softmax,
    Split,
    StridedSlice,
    Sub,
    Tanh,
    Transpose,
)
from services.compiler.ir.tensor import TensorId
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.schedule.schedule import BufferId, Schedule, Step


@dataclass(frozen=True, slots=True)
class OverlapRule:
    """`target`, born at the step where `source` dies, may share its bytes if it starts low enough.

    Allowed offsets: target.offset <= source.offset - distance_bytes, or, where `exact`, just that offset. Then the
    kernel, which reads and writes upwards, never overwrites an input byte that it still has to read (vMCU, MLSys
    2024). In place is distance 0; a kernel that works channel by channel needs it exact.
    """

    source: BufferId
    target: BufferId
    distance_bytes: int
    exact: bool = False

    def allows(self, source_offset: int, target_offset: int) -> bool:
        """Whether the two may share bytes when placed at these offsets."""
        limit = source_offset - self.distance_bytes
        return target_offset == limit if self.exact else target_offset <= limit


def overlap_rules(graph: Graph, schedule: Schedule, kernels: KernelSet = KernelSet.PORTABLE) -> tuple[OverlapRule, ...]:
    """Return every permitted overlap of the schedule; whether a source dies there is the planner's to check."""
    return tuple(
        rule
        for step in schedule.steps()
        if step.region is None
        for rule in _step_rules(graph, graph.ops[step.op_index], step, schedule, kernels)
    )


def _step_rules(graph: Graph, op: Op, step: Step, schedule: Schedule, kernels: KernelSet) -> tuple[OverlapRule, ...]:
    match op:
        case Conv2D() if kernels is KernelSet.THUMB2 and step.scratch is not None:
            # pairs of pixels are widened into the scratch before their outputs are written
            return _rules(op.inputs[:1], op, schedule, step, distance=_pairwise_distance(graph, op))
        case DepthwiseConv2D():
            # with a scratch plane the kernel reads a channel whole before it writes it
            return _rules(op.inputs[:1], op, schedule, step, exact=True) if step.scratch is not None else ()
        case Logistic() | Tanh() | HardSwish() | Relu() | LeakyRelu() | Quantize():
            return _rules(op.inputs, op, schedule, step)
        case Dequantize():
            return _rules(op.inputs, op, schedule, step, distance=_widening(graph, op))
        case Add() | Sub() | Mul():
            full = tuple(t for t in op.inputs if graph.tensors[t].shape == graph.tensors[op.output].shape)
            return _rules(full, op, schedule, step)
        case (
            Conv2D() | FullyConnected() | AveragePool2D() | MaxPool2D() | Mean() | Pad() | Reshape() | Softmax()
            | Concatenation() | StridedSlice() | Split() | Transpose() | ResizeNearestNeighbor()
        ):  # fmt: skip
            return ()
        case _:
            assert_never(op)


def _pairwise_distance(graph: Graph, op: Conv2D) -> int:
    """Return how far below the input the output must start, so that no pair of pixels overwrites a later window.

    A window's first byte only grows from one output to the next (row by row), so the first window after the pair
    tells what is still needed; the last pair has none after it.
    """
    _, in_h, in_w, in_c = graph.tensors[op.input].shape
    _, out_h, out_w, out_c = graph.tensors[op.output].shape
    pixels = np.arange(2, out_h * out_w, 2)  # first pixel of every pair but the first
    rows = np.clip(pixels // out_w * op.stride_hw[0] - op.padding.top, 0, in_h - 1)
    columns = np.clip(pixels % out_w * op.stride_hw[1] - op.padding.left, 0, in_w - 1)
    behind = pixels * out_c - (rows * in_w + columns) * in_c
    return int(behind.max(initial=-graph.tensors[op.input].size_bytes))


def _widening(graph: Graph, op: Dequantize) -> int:
    """Element i is written at `4 * i`, after byte i was read: the output must start that much lower."""
    return graph.tensors[op.output].size_bytes - graph.tensors[op.input].size_bytes


def _rules(
    sources: tuple[TensorId, ...], op: Op, schedule: Schedule, step: Step, *, distance: int = 0, exact: bool = False
) -> tuple[OverlapRule, ...]:
    """Return a rule a source buffer; none for one that is also read in another shape by the same step."""
    target = step.writes[0]
    others = {_buffer(schedule, step, t) for t in op.inputs if t not in sources}
    buffers = dict.fromkeys(_buffer(schedule, step, t) for t in sources)
    return tuple(OverlapRule(b, target, distance, exact) for b in buffers if b is not None and b not in others)


def _buffer(schedule: Schedule, step: Step, tensor: TensorId) -> BufferId | None:
    return next((b.id for b in schedule.buffers if b.id in step.reads and tensor in b.tensors), None)
