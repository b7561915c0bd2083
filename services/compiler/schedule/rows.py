"""Which input rows an operator needs for some rows of its output: the receptive field, one axis of it.

Operators whose rows are a fixed window of the input's rows can run a few rows at a time; the others end a stage.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import (
    Add,
    AveragePool2D,
    Concatenation,
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
    Pad,
    PRelu,
    Quantize,
    Relu,
    RnnPool,
    Split,
    StridedSlice,
    Sub,
    Table,
    Tanh,
)
from services.compiler.ir.planned_ops import ImageSums, PullRows
from services.compiler.ir.tensor import DType, TensorId

_ROW_WISE = (
    Conv2D, DepthwiseConv2D, AveragePool2D, MaxPool2D, RnnPool, Add, Sub, Mul, Maximum, Minimum, PRelu, Logistic, Tanh,
    HardSwish, Relu, LeakyRelu, Table, Quantize, Pad, Concatenation, StridedSlice, Split, PullRows,
    ImageSums,
)  # fmt: skip


# Those that move whole bytes are left out: their calls count columns in bytes.
_ALSO_INT16 = (
    Conv2D, DepthwiseConv2D, AveragePool2D, MaxPool2D, Add, Sub, Mul, Logistic, Tanh, Relu, Quantize, PullRows,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Window:
    """Output index i needs the input's indices [i * stride + offset, i * stride + offset + extent) on the image.

    `size` is the input's number of indices on this axis. Where `whole`, all of them are needed.
    """

    stride: int
    offset: int
    extent: int
    size: int
    whole: bool = False

    def needed(self, start: int, stop: int) -> tuple[int, int]:
        """Return the half-open range needed for outputs [start, stop), clipped to the image; may be empty."""
        if self.whole:
            return 0, self.size
        low = start * self.stride + self.offset
        high = (stop - 1) * self.stride + self.offset + self.extent
        return min(max(low, 0), self.size), min(max(high, 0), self.size)

    @property
    def slides(self) -> bool:
        """Whether neighboring outputs may read the same input: then one call may cross a ring's end."""
        return self.extent > 1


def is_row_wise(graph: Graph, op: Op) -> bool:
    """Whether the operator can go through any rows of what it sweeps with some rows of its inputs.

    Images of batch 1 in four dimensions, of 8 bits or for most operators int16, or float images that are pulled or
    quantized; no input twice.
    """
    if not isinstance(op, _ROW_WISE):
        return False
    results = () if isinstance(op, ImageSums) else op.outputs
    images = [t for t in (*_activations(op), *results) if not graph.tensors[t].is_constant]
    if any(len(graph.tensors[t].shape) != 4 or graph.tensors[t].shape[0] != 1 for t in images):
        return False
    if any(isinstance(op, kind) and op.axis in axes for kind, axes in ((Concatenation, (0,)), (Split, (0, 1)))):
        return False
    if isinstance(op, Concatenation) and len(set(op.inputs)) < len(op.inputs):
        return False
    if isinstance(op, Conv2D | DepthwiseConv2D) and graph.tensors[op.weights].dtype not in (DType.INT8, DType.INT4):
        return False
    return all(_is_held(graph, op, t) for t in images)


def pulls_whole_rows(graph: Graph, op: Op) -> bool:
    """Whether the caller writes rows to where they are held: all columns; what is quantized goes through scratch."""
    return isinstance(op, PullRows) and graph.tensors[op.input].dtype is graph.tensors[op.output].dtype


def window(graph: Graph, op: Op, tensor: TensorId, axis: int = 1) -> Window:
    """Return the window on one axis (1: rows, 2: columns) that a row-wise operator slides over one of its inputs."""
    source = graph.tensors[tensor]
    size = source.shape[axis] if len(source.shape) == 4 else 1
    at = axis - 1
    match op:
        case Conv2D() | DepthwiseConv2D():
            kernel = (graph.tensors[op.weights].shape[axis] - 1) * op.dilation_hw[at] + 1
            before = (op.padding.top, op.padding.left)[at]
            return Window(op.stride_hw[at], -before, kernel, size)
        case AveragePool2D() | MaxPool2D() | RnnPool():
            before = (op.padding.top, op.padding.left)[at]
            return Window(op.stride_hw[at], -before, op.kernel_hw[at], size)
        case Pad():
            return Window(1, -op.before[axis], 1, size)
        case Concatenation() if op.axis == axis:
            before = sum(graph.tensors[t].shape[axis] for t in op.inputs[: op.inputs.index(tensor)])
            return Window(1, -before, 1, size)
        case StridedSlice():
            return Window(op.strides[axis], op.begin[axis], 1, size)
        case _:
            broadcast = size != graph.tensors[op.swept].shape[axis]
            return Window(1, 0, 1, size, whole=broadcast)


def _activations(op: Op) -> tuple[TensorId, ...]:
    return (op.input,) if isinstance(op, Conv2D | DepthwiseConv2D) else op.inputs


def _is_held(graph: Graph, op: Op, tensor: TensorId) -> bool:
    dtype = graph.tensors[tensor].dtype
    if dtype is DType.INT16:
        return isinstance(op, _ALSO_INT16)
    return dtype.bits == 8 or (dtype.is_float and isinstance(op, Quantize | PullRows))
