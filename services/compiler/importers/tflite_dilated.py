"""SPACE_TO_BATCH_ND, a convolution, BATCH_TO_SPACE_ND: how older converters write a dilated convolution."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from services.compiler.errors import UnsupportedModelError
from services.compiler.importers.tflite_file import FileOperator
from services.compiler.importers.tflite_graph_builder import GraphBuilder
from services.compiler.importers.tflite_windows import Converter
from services.compiler.ir.ops import Conv2D, DepthwiseConv2D, Op, Padding, Reshape
from services.compiler.ir.tensor import TensorId

_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_RESHAPES = ("RESHAPE", "EXPAND_DIMS", "SQUEEZE")
_HOW = "must be space to batch, one stride-1 VALID convolution, batch to space with the same blocks"


@dataclass(frozen=True, slots=True)
class _Pattern:
    """The three operators; `block`, `pads` and `crops` are one entry a spatial axis of the outer tensors."""

    before: FileOperator
    conv: FileOperator
    block: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    crops: tuple[tuple[int, int], ...]


def batch_to_space(convolutions: dict[str, Converter]) -> Converter:
    """Return the converter of a BATCH_TO_SPACE_ND that ends the pattern: one dilated convolution for all of it."""

    def convert_batch_to_space(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
        pattern = _pattern(builder, operator)
        op, *others = convolutions[pattern.conv.kind](builder, pattern.conv)
        if others or not isinstance(op, Conv2D | DepthwiseConv2D) or op.stride_hw != (1, 1) or op.padding != Padding():
            raise UnsupportedModelError(f"{pattern.conv} stands between batches of blocks: {_HOW}")
        axes = _image_axes(builder, operator, pattern, op.input)
        dilation, sides = {1: 1, 2: 1}, {1: (0, 0), 2: (0, 0)}
        for axis, block, pad, crop in zip(axes, pattern.block, pattern.pads, pattern.crops, strict=True):
            dilation[axis] = block
            sides[axis] = pad[0] - crop[0], pad[1] - crop[1]
        if min(*sides[1], *sides[2]) < 0:
            raise UnsupportedModelError(f"{operator} crops {pattern.crops} of paddings {pattern.pads}: must be less")
        dilated = replace(op, dilation_hw=(dilation[1], dilation[2]), padding=Padding(*sides[1], *sides[2]))
        return _framed(builder, operator, pattern, dilated)

    return convert_batch_to_space


def _pattern(builder: GraphBuilder, operator: FileOperator) -> _Pattern:
    conv = _first(_upwards(builder, operator), _CONVOLUTIONS)
    before = None if conv is None else _first(_upwards(builder, conv), ("SPACE_TO_BATCH_ND",))
    if conv is None or before is None or builder.integers(before, 1) != builder.integers(operator, 1):
        raise UnsupportedModelError(f"{operator} ends no dilated convolution: {_HOW}")
    pads, crops = (_pairs(builder.integers(o, 2)) for o in (before, operator))
    return _Pattern(before, conv, builder.integers(operator, 1), pads, crops)


def _pairs(flat: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def _upwards(builder: GraphBuilder, operator: FileOperator) -> Iterator[FileOperator]:
    """Yield what wrote the data input, and behind reshapes what wrote theirs."""
    producers = {t: o for o in builder.file.operators for t in o.outputs}
    found = producers.get(operator.inputs[0]) if operator.inputs else None
    while found is not None:
        yield found
        found = producers.get(found.inputs[0]) if found.kind in _RESHAPES and found.inputs else None


def _first(operators: Iterator[FileOperator], kinds: tuple[str, ...]) -> FileOperator | None:
    found = next((o for o in operators if o.kind not in _RESHAPES), None)
    return found if found is not None and found.kind in kinds else None


def _image_axes(
    builder: GraphBuilder, operator: FileOperator, pattern: _Pattern, conv_input: TensorId
) -> tuple[int, ...]:
    """Return the axis of the convolution's image for each block: both, or the long one of a sequence."""
    shape = builder.tensors[conv_input].shape
    match len(pattern.block):
        case 2:
            return 1, 2
        case 1 if 1 in shape[1:3]:
            return (2,) if shape[1] == 1 else (1,)
        case _:
            raise UnsupportedModelError(f"{operator} has blocks {pattern.block} around an image {shape}: {_HOW}")


def _framed(
    builder: GraphBuilder, operator: FileOperator, pattern: _Pattern, op: Conv2D | DepthwiseConv2D
) -> tuple[Op, ...]:
    """Return the convolution between what the pattern reads and writes; a sequence is reshaped to an image."""
    (source,), output = builder.inputs(pattern.before, 1), builder.output(operator)
    image, result, name = builder.tensors[source], builder.tensors[output], builder.name(operator)
    if len(image.shape) == 4:
        return (replace(op, name=name, inputs=(source, *op.inputs[1:]), outputs=(output,)),)
    at = 1 if builder.tensors[op.input].shape[1] == 1 else 2
    wide, narrow = (
        builder.add(replace(t, name=f"{t.name}/image", shape=(*t.shape[:at], 1, *t.shape[at:])))
        for t in (image, result)
    )
    return (
        Reshape(name=name, inputs=(source,), outputs=(wide,)),
        replace(op, name=name, inputs=(wide, *op.inputs[1:]), outputs=(narrow,)),
        Reshape(name=name, inputs=(narrow,), outputs=(output,)),
    )
