"""Rules on shapes: what an operator reads and writes fits together."""

from __future__ import annotations

from math import prod

import numpy as np

from services.compiler.importers.padding import Window, output_hw
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import (
    Add,
    AveragePool2D,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Maximum,
    MaxPool2D,
    Mean,
    Minimum,
    Mul,
    Op,
    Pad,
    PRelu,
    Split,
    StridedSlice,
    Sub,
    Sum,
    Transpose,
)
from services.compiler.ir.tensor import DType, quoted

Shape = tuple[int, ...]

_FARTHEST = 1 << 13
_LARGEST_SIDE = (1 << 16) - 1


def _shape(graph: Graph, tensor_id: int) -> Shape:
    return graph.tensors[tensor_id].shape


def one_image(graph: Graph, op: Op) -> str | None:
    """Input and output are images [1, height, width, channels]; 1-D data has height or width 1."""
    for t in (op.input, *op.outputs):
        tensor = graph.tensors[t]
        if len(tensor.shape) != 4:
            return f"tensor {quoted(tensor.name)} has shape {tensor.shape}: must be [1, height, width, channels]"
        if tensor.shape[0] != 1:
            return f"tensor {quoted(tensor.name)} has batch {tensor.shape[0]}: must be 1"
    return None


def fits_16_bits(graph: Graph, op: Op) -> str | None:
    """No side of a tensor is over 65535."""
    for t in (*op.inputs, *op.outputs):
        tensor = graph.tensors[t]
        if max(tensor.shape, default=0) > _LARGEST_SIDE:
            return f"tensor {quoted(tensor.name)} has shape {tensor.shape}: no side may be over {_LARGEST_SIDE}"
    return None


def reshape_of_variable_to_output(graph: Graph, op: Op) -> str | None:
    """What becomes an output of the network is no constant."""
    if op.output in graph.outputs and graph.tensors[op.input].is_constant:
        return f"output {quoted(graph.tensors[op.output].name)} is a constant: leave it out of the model"
    return None


def at_most_4_dimensions(graph: Graph, op: Op) -> str | None:
    """Tensors have at most 4 dimensions."""
    for t in (*op.inputs, *op.outputs):
        tensor = graph.tensors[t]
        if len(tensor.shape) > 4:
            return f"tensor {quoted(tensor.name)} has {len(tensor.shape)} dimensions: must have at most 4"
    return None


def same_shape(graph: Graph, op: Op) -> str | None:
    """The output has the input's shape."""
    return _expect(graph, op, _shape(graph, op.input))


def same_elements(graph: Graph, op: Op) -> str | None:
    """The output has as many elements as the input."""
    source, result = _shape(graph, op.input), _shape(graph, op.output)
    return None if prod(source) == prod(result) else f"shapes {source} and {result} differ in their number of elements"


def _expect(graph: Graph, op: Op, expected: Shape) -> str | None:
    found = _shape(graph, op.output)
    return None if found == expected else f"output has shape {found}: its inputs give {expected}"


def conv_shapes(graph: Graph, op: Conv2D | DepthwiseConv2D) -> str | None:
    """Weights have 4 dimensions and fit the input's channels in one group; the output's shape follows."""
    image, weights = _shape(graph, op.input), _shape(graph, op.weights)
    if len(weights) != 4:
        return f"weights have shape {weights}: must have 4 dimensions"
    if isinstance(op, Conv2D):
        if weights[3] != image[3]:
            return f"weights have {weights[3]} input channels, the input {image[3]}: grouped convolution must be split"
        channels = weights[0]
    else:
        if weights[0] != 1 or weights[3] % image[3]:
            return f"weights of shape {weights} do not fit {image[3]} channels: must be [1, h, w, {image[3]} * n]"
        channels = weights[3]
    window = Window((weights[1], weights[2]), op.stride_hw, op.dilation_hw)
    if max(*window.reach_hw, *window.stride_hw) > _FARTHEST:
        return f"window reaches {window.reach_hw} with stride {op.stride_hw}: must be at most {_FARTHEST}"
    return _expect(graph, op, (1, *output_hw(window, op.padding, (image[1], image[2])), channels))


def pool_shapes(graph: Graph, op: AveragePool2D | MaxPool2D) -> str | None:
    """Padding is smaller than the window, so that every window sees the image; the output's shape follows."""
    image = _shape(graph, op.input)
    sides = zip(
        (op.padding.top, op.padding.bottom, op.padding.left, op.padding.right),
        (*(op.kernel_hw[0],) * 2, *(op.kernel_hw[1],) * 2),
        strict=True,
    )
    if any(side >= kernel for side, kernel in sides):
        return f"padding {op.padding} reaches as far as the window {op.kernel_hw}: must be smaller"
    window = Window(op.kernel_hw, op.stride_hw)
    if max(*op.kernel_hw, *op.stride_hw) > _FARTHEST:
        return f"window is {op.kernel_hw} with stride {op.stride_hw}: must be at most {_FARTHEST}"
    return _expect(graph, op, (1, *output_hw(window, op.padding, (image[1], image[2])), image[3]))


def dense_shapes(graph: Graph, op: FullyConnected) -> str | None:
    """Weights are [outputs, inputs]; the input is read as rows of that many inputs."""
    weights = _shape(graph, op.weights)
    if len(weights) != 2:
        return f"weights have shape {weights}: must be [outputs, inputs]"
    elements, results = graph.tensors[op.input].elements, graph.tensors[op.output].elements
    if elements % weights[1] or elements // weights[1] * weights[0] != results:
        return f"weights {weights} do not map {elements} inputs to {results} outputs"
    return None


def broadcast_shapes(graph: Graph, op: Add | Sub | Mul | Maximum | Minimum | PRelu) -> str | None:
    """The two inputs broadcast to the output's shape, as in numpy."""
    left, right = (_shape(graph, t) for t in op.inputs)
    try:
        expected = np.broadcast_shapes(left, right)
    except ValueError:
        return f"shapes {left} and {right} do not broadcast"
    return _expect(graph, op, expected)


def mean_shapes(graph: Graph, op: Mean | Sum) -> str | None:
    """There is an axis to reduce; the output keeps or drops those dimensions."""
    shape = _shape(graph, op.input)
    kept = tuple(1 if i in op.axes else d for i, d in enumerate(shape))
    dropped = tuple(d for i, d in enumerate(shape) if i not in op.axes)
    if not op.axes:
        return "there is no axis to reduce: must have 1 or more"
    found = _shape(graph, op.output)
    return None if found in (kept, dropped) else f"output has shape {found}: must be {kept} or {dropped}"


def pad_shapes(graph: Graph, op: Pad) -> str | None:
    """Borders are not negative, their value is one of the type's, for int16 0; the output's shape follows."""
    if min(*op.before, *op.after, 0) < 0:
        return f"borders {op.before}, {op.after} are negative: must be 0 or more"
    dtype = graph.tensors[op.output].dtype
    low, high = (0, 0) if dtype is DType.INT16 else dtype.value_range
    if not low <= op.value <= high:
        return f"border value is {op.value}: must be from {low} to {high}"
    sizes = zip(op.before, _shape(graph, op.input), op.after, strict=True)
    return _expect(graph, op, tuple(sum(parts) for parts in sizes))


def concatenation_shapes(graph: Graph, op: Concatenation) -> str | None:
    """The inputs differ only along the axis, where their sizes add up to the output's."""
    shapes = [_shape(graph, t) for t in op.inputs]
    others = {(*s[: op.axis], *s[op.axis + 1 :]) for s in shapes}
    if len(others) != 1 or len({len(s) for s in shapes}) != 1:
        return f"shapes {shapes} differ beside axis {op.axis}"
    first = shapes[0]
    return _expect(graph, op, (*first[: op.axis], sum(s[op.axis] for s in shapes), *first[op.axis + 1 :]))


def split_shapes(graph: Graph, op: Split) -> str | None:
    """The outputs' sizes along the axis add up to the input's; other dimensions are the same."""
    source, results = _shape(graph, op.input), [_shape(graph, t) for t in op.outputs]
    total = sum(s[op.axis] for s in results if len(s) == len(source))
    others = {(*s[: op.axis], *s[op.axis + 1 :]) for s in (source, *results)}
    if total != source[op.axis] or len(others) != 1:
        return f"outputs {results} do not add up to {source} along axis {op.axis}"
    return None


def slice_shapes(graph: Graph, op: StridedSlice) -> str | None:
    """Begin, end and stride stay inside the input and pick as many elements as the output has."""
    picked = [len(range(*limits)) for limits in zip(op.begin, op.end, op.strides, strict=True)]
    for start, count, stride, size in zip(op.begin, picked, op.strides, _shape(graph, op.input), strict=True):
        last = start + (count - 1) * stride
        if count == 0 or not (0 <= start < size and 0 <= last < size):
            return f"slice from {start} to {last} leaves the dimension of size {size}"
    found = _shape(graph, op.output)
    kept, squeezed = [d for d in picked if d != 1], [d for d in found if d != 1]
    return None if kept == squeezed else f"output has shape {found}: the slice gives {picked}"


def int16_elements_whole(graph: Graph, op: StridedSlice) -> str | None:
    """int16 is sliced with stride 1 in the last dimension."""
    if graph.tensors[op.input].dtype is DType.INT16 and op.strides[-1:] not in ((1,), ()):
        return f"the last stride of an int16 slice is {op.strides[-1]}: must be 1"
    return None


def transpose_shapes(graph: Graph, op: Transpose) -> str | None:
    """The output's shape is the input's in the permuted order."""
    shape = _shape(graph, op.input)
    return _expect(graph, op, tuple(shape[a] for a in op.permutation))


def resize_shapes(graph: Graph, op: Op) -> str | None:
    """Only height and width change."""
    source, result = _shape(graph, op.input), _shape(graph, op.output)
    return None if source[3] == result[3] else f"channels change from {source[3]} to {result[3]}"
