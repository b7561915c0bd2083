"""A plan as a weight-free operator graph, named as the compiler's IR names it.

It is the graph that the compiler's importer makes of the exported and quantized model, so that what `Estimate`
says of it holds for the compiled network: activations int8 NHWC, weights int8 OHWI (depthwise 1HWO), biases int32.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from math import prod

from services.search.space.plan import ConvPlan, Plan, RnnPoolPlan

TensorId = int


class DType(Enum):
    """Element types that occur in searched networks."""

    INT8 = "int8"
    INT32 = "int32"


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value of the graph; constants have no data here."""

    name: str
    shape: tuple[int, ...]
    dtype: DType
    is_constant: bool = False

    @property
    def size_bytes(self) -> int:
        """Bytes in memory."""
        return prod(self.shape) * (1 if self.dtype is DType.INT8 else 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A name, the tensors read, in order, and the tensors written."""

    name: str
    inputs: tuple[TensorId, ...]
    outputs: tuple[TensorId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv2D(Node):
    """Inputs (data, weights OHWI, bias); `padding` is rows and columns on every side, `relu` a ReLU after it.

    The ReLU becomes the lower limit of the output's quantized range; kernels for it are other ones.
    """

    stride_hw: tuple[int, int]
    padding: int
    relu: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthwiseConv2D(Node):
    """Inputs (data, weights 1HWO, bias); the rest as in Conv2D."""

    stride_hw: tuple[int, int]
    padding: int
    relu: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Node):
    """Element-wise sum of two tensors of one shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean(Node):
    """Mean over `axes`, which stay as dimensions of 1."""

    axes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FullyConnected(Node):
    """Inputs (data, read as [1, I], weights [O, I], bias)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RnnPool(Node):
    """Inputs (data, then of the sweep and of the summary input weights, recurrent weights and biases)."""

    kernel_hw: tuple[int, int]
    stride_hw: tuple[int, int]
    padding: int


Op = Conv2D | DepthwiseConv2D | RnnPool | Add | Mean | FullyConnected


@dataclass(frozen=True, slots=True)
class Network:
    """Operators in execution order over `tensors`, which ids index."""

    name: str
    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[TensorId, ...]
    outputs: tuple[TensorId, ...]


def network_of(plan: Plan, name: str) -> Network:
    """Return the operator graph of a plan."""
    graph = _Builder()
    current = graph.activation("input", (1, plan.resolution, plan.resolution, plan.input_channels))
    for block in plan.blocks:
        skip = current
        for conv in block.convs:
            current = _conv(graph, conv, current)
        if block.residual:
            current = _add(graph, f"{block.convs[-1].name}.add", current, skip)
        if block.pool is not None:
            current = _pool(graph, block.pool, current)
    return graph.network(name, _classifier(graph, plan, current))


@dataclass(slots=True)
class _Builder:
    """Collects tensors and operators while the graph is written down."""

    tensors: list[Tensor] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)

    def activation(self, name: str, shape: tuple[int, ...]) -> TensorId:
        return self._tensor(Tensor(name, shape, DType.INT8))

    def parameters(self, name: str, weights: tuple[int, ...], outputs: int) -> tuple[TensorId, TensorId]:
        """Weights and bias of a layer."""
        return (
            self._tensor(Tensor(f"{name}.weight", weights, DType.INT8, is_constant=True)),
            self._tensor(Tensor(f"{name}.bias", (outputs,), DType.INT32, is_constant=True)),
        )

    def cell(self, name: str, inputs: int, hidden: int) -> tuple[TensorId, ...]:
        """Input weights, recurrent weights and biases of a recurrent cell."""
        shapes = (("weight", (hidden, inputs)), ("recurrent", (hidden, hidden)), ("bias", (2, hidden)))
        return tuple(
            self._tensor(
                Tensor(f"{name}.{part}", shape, DType.INT32 if part == "bias" else DType.INT8, is_constant=True)
            )
            for part, shape in shapes
        )

    def shape(self, tensor: TensorId) -> tuple[int, ...]:
        return self.tensors[tensor].shape

    def network(self, name: str, output: TensorId) -> Network:
        return Network(name, tuple(self.tensors), tuple(self.ops), (0,), (output,))

    def _tensor(self, tensor: Tensor) -> TensorId:
        self.tensors.append(tensor)
        return len(self.tensors) - 1


def _conv(graph: _Builder, conv: ConvPlan, source: TensorId) -> TensorId:
    _, height, width, _ = graph.shape(source)
    k, s, pad = conv.kernel, conv.stride, conv.kernel // 2
    shape = (1, k, k, conv.out_channels) if conv.depthwise else (conv.out_channels, k, k, conv.in_channels)
    parameters = graph.parameters(conv.name, shape, conv.out_channels)
    rows, columns = ((size + 2 * pad - k) // s + 1 for size in (height, width))
    output = graph.activation(conv.name, (1, rows, columns, conv.out_channels))
    kind = DepthwiseConv2D if conv.depthwise else Conv2D
    graph.ops.append(
        kind(
            name=conv.name,
            inputs=(source, *parameters),
            outputs=(output,),
            stride_hw=(s, s),
            padding=pad,
            relu=conv.relu,
        )
    )
    return output


def _add(graph: _Builder, name: str, left: TensorId, right: TensorId) -> TensorId:
    output = graph.activation(name, graph.shape(left))
    graph.ops.append(Add(name=name, inputs=(left, right), outputs=(output,)))
    return output


def _pool(graph: _Builder, pool: RnnPoolPlan, source: TensorId) -> TensorId:
    _, height, width, channels = graph.shape(source)
    cells = (("sweep", channels, pool.hidden), ("summary", pool.hidden, pool.summary))
    parameters = [t for name, inputs, hidden in cells for t in graph.cell(f"{pool.name}.{name}", inputs, hidden)]
    rows, columns = ((size + 2 * pool.padding - pool.patch) // pool.stride + 1 for size in (height, width))
    output = graph.activation(pool.name, (1, rows, columns, pool.out_channels))
    graph.ops.append(
        RnnPool(
            name=pool.name,
            inputs=(source, *parameters),
            outputs=(output,),
            kernel_hw=(pool.patch, pool.patch),
            stride_hw=(pool.stride, pool.stride),
            padding=pool.padding,
        )
    )
    return output


def _classifier(graph: _Builder, plan: Plan, source: TensorId) -> TensorId:
    pooled = graph.activation("mean", (1, 1, 1, plan.features))
    graph.ops.append(Mean(name="mean", inputs=(source,), outputs=(pooled,), axes=(1, 2)))
    parameters = graph.parameters("classifier", (plan.classes, plan.features), plan.classes)
    logits = graph.activation("logits", (1, plan.classes))
    graph.ops.append(FullyConnected(name="classifier", inputs=(pooled, *parameters), outputs=(logits,)))
    return logits
