"""Which channels of which tensors can only be removed together.

A channel lives on through operators that treat channels apart (depthwise convolutions, pools, sums): a residual sum
ties the channels of both its sides. Only Conv2D and FullyConnected mix channels, so only they end and begin groups.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import accumulate

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import (
    Add,
    AveragePool2D,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
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
    ResizeBilinear,
    ResizeNearestNeighbor,
    Split,
    Sub,
    Table,
    Tanh,
    Transpose,
)
from services.compiler.ir.tensor import TensorId

Channel = tuple[TensorId, int]
Group = tuple[Channel, ...]

_SAME_CHANNELS = (
    AveragePool2D
    | MaxPool2D
    | ResizeNearestNeighbor
    | ResizeBilinear
    | Relu
    | LeakyRelu
    | Logistic
    | Tanh
    | HardSwish
    | Table
    | Quantize
)


def channel_counts(graph: Graph) -> Mapping[TensorId, int]:
    """Return the number of channels of every tensor: its last dimension.

    What a Reshape flattens keeps its channels: the last dimension is then a multiple of them, channels innermost.
    """
    counts = {t: tensor.shape[-1] if tensor.shape else 1 for t, tensor in graph.tensors.items()}
    for op in graph.ops:
        if isinstance(op, Reshape) and counts[op.output] % counts[op.input] == 0:
            counts[op.output] = counts[op.input]
    return counts


def channel_groups(graph: Graph) -> tuple[Group, ...]:
    """Return the groups of channels that nothing forbids to remove, in the order of the graph.

    Forbidden are the graph's inputs and outputs, and what operators without a notion of channels read or write.
    """
    return _Ties(graph).groups()


class _Ties:
    """Channels joined into groups: a forest in which every channel points towards its group's first."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._counts = channel_counts(graph)
        self._above: dict[Channel, Channel] = {}
        self._fixed: set[Channel] = set()
        for t in (*graph.inputs, *graph.outputs):
            self._fix(t)
        for op in graph.ops:
            self._tie_op(op)

    def groups(self) -> tuple[Group, ...]:
        members: dict[Channel, list[Channel]] = defaultdict(list)
        for t in (*self._graph.inputs, *(t for op in self._graph.ops for t in op.outputs)):
            for c in range(self._counts[t]):
                members[self._first((t, c))].append((t, c))
        fixed = {self._first(channel) for channel in self._fixed}
        return tuple(tuple(group) for first, group in members.items() if first not in fixed)

    def _tie_op(self, op: Op) -> None:
        for a, b in self._ties(op):
            self._above[self._first(b)] = self._first(a)

    def _ties(self, op: Op) -> Iterator[tuple[Channel, Channel]]:
        """Yield pairs of an input's and an output's channel; fix what the operator neither ties nor mixes."""
        match op:
            case Conv2D() if self._plain(op.input):
                return
            case FullyConnected() if self._is_dense(op):
                return
            case DepthwiseConv2D() if self._plain(op.input):
                outputs = self._counts[op.output]
                multiplier = outputs // self._counts[op.input]
                yield from (((op.input, c // multiplier), (op.output, c)) for c in range(outputs))
            case Add() | Sub() | Mul():
                for t in op.inputs:
                    yield from self._broadcast(t, op.output)
            case Concatenation() if not any(self._graph.tensors[t].is_constant for t in op.inputs):
                yield from self._joined(op.inputs, op.output, op.axis)
            case Split():
                yield from self._joined(op.outputs, op.input, op.axis)
            case _ if self._passes_channels(op) and self._counts[op.input] == self._counts[op.output]:
                yield from self._alike(op.input, op.output)
            case _:
                for t in (*op.inputs, *op.outputs):
                    self._fix(t)

    def _is_dense(self, op: FullyConnected) -> bool:
        outputs, inputs = self._graph.tensors[op.weights].shape
        return inputs % self._counts[op.input] == 0 and outputs == self._counts[op.output]

    def _passes_channels(self, op: Op) -> bool:
        last = len(self._graph.tensors[op.input].shape) - 1
        match op:
            case Pad():
                return (op.before[last], op.after[last]) == (0, 0)
            case Mean():
                return last not in op.axes
            case Transpose():
                return op.permutation[last] == last and self._plain(op.input)
            case _:
                return isinstance(op, _SAME_CHANNELS | Reshape)

    def _alike(self, a: TensorId, b: TensorId) -> Iterator[tuple[Channel, Channel]]:
        yield from (((a, c), (b, c)) for c in range(self._counts[a]))

    def _broadcast(self, operand: TensorId, result: TensorId) -> Iterator[tuple[Channel, Channel]]:
        """A constant operand is cut to fit; one channel for all of them stays."""
        tensor = self._graph.tensors[operand]
        if not (self._plain(result) and (tensor.is_constant or self._plain(operand))):
            self._fix(operand)
            self._fix(result)
        elif not tensor.is_constant and self._counts[operand] == self._counts[result]:
            yield from self._alike(operand, result)
        else:
            self._fix(operand)

    def _joined(self, parts: tuple[TensorId, ...], whole: TensorId, axis: int) -> Iterator[tuple[Channel, Channel]]:
        if not all(self._plain(t) for t in (*parts, whole)):
            for t in (*parts, whole):
                self._fix(t)
        elif axis < len(self._graph.tensors[whole].shape) - 1:
            for part in parts:
                yield from self._alike(part, whole)
        else:
            starts = accumulate((self._counts[t] for t in parts), initial=0)
            for part, start in zip(parts, starts, strict=False):
                yield from (((part, c), (whole, start + c)) for c in range(self._counts[part]))

    def _plain(self, t: TensorId) -> bool:
        """Whether the last dimension holds each channel once, not flattened ones."""
        shape = self._graph.tensors[t].shape
        return self._counts[t] == (shape[-1] if shape else 1)

    def _fix(self, t: TensorId) -> None:
        self._fixed |= {(t, c) for c in range(self._counts[t])}

    def _first(self, channel: Channel) -> Channel:
        while (above := self._above.get(channel, channel)) != channel:
            self._above[channel] = self._above.get(above, above)
            channel = self._above[channel]
        return channel
