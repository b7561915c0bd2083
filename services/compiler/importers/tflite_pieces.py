"""TFLite operators that take apart or put together: SLICE, REVERSE_V2, GATHER, PACK, UNPACK, MIRROR_PAD, blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import tflite

from services.compiler.errors import InvalidModelError, UnsupportedModelError
from services.compiler.importers.blocks import depth_to_space, space_to_depth
from services.compiler.importers.tflite_file import FileOperator
from services.compiler.importers.tflite_graph_builder import GraphBuilder
from services.compiler.ir.ops import Concatenation, Op, Reshape, Split, StridedSlice
from services.compiler.ir.tensor import TensorId


def _strided(name: str, source: TensorId, output: TensorId, cuts: Sequence[range]) -> StridedSlice:
    return StridedSlice(
        name=name,
        inputs=(source,),
        outputs=(output,),
        begin=tuple(c.start for c in cuts),
        end=tuple(c.stop for c in cuts),
        strides=tuple(c.step for c in cuts),
    )


def convert_slice(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
    """SLICE has (input, begin, size); a size of -1 takes all that is left."""
    (source,) = builder.inputs(operator, 1)
    shape = builder.tensors[source].shape
    begin, size = builder.integers(operator, 1), builder.integers(operator, 2)
    if not len(begin) == len(size) == len(shape):
        raise InvalidModelError(f"{operator} has {len(begin)} begins and {len(size)} sizes for shape {shape}")
    cuts = [range(b, d if n == -1 else b + n) for b, n, d in zip(begin, size, shape, strict=True)]
    return (_strided(builder.name(operator), source, builder.output(operator), cuts),)


def convert_reverse(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
    """REVERSE_V2 has (input, axes)."""
    (source,) = builder.inputs(operator, 1)
    shape = builder.tensors[source].shape
    axes = {axis_of(operator, a, len(shape)) for a in builder.integers(operator, 1)}
    cuts = [range(d - 1, -1, -1) if i in axes else range(d) for i, d in enumerate(shape)]
    return (_strided(builder.name(operator), source, builder.output(operator), cuts),)


def convert_gather(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
    """GATHER of one index, or of evenly spaced ones, is a slice."""
    options = operator.options(tflite.GatherOptions)
    (source,) = builder.inputs(operator, 1)
    shape = builder.tensors[source].shape
    axis, indices = axis_of(operator, options.Axis(), len(shape)), builder.integers(operator, 1)
    steps = {b - a for a, b in pairwise(indices)} or {1}
    if options.BatchDims() or len(steps) != 1 or 0 in steps or not indices:
        raise UnsupportedModelError(f"{operator} takes indices {indices[:8]}: must be one, or evenly spaced ones")
    step = steps.pop()
    cuts = [range(d) for d in shape]
    cuts[axis] = range(indices[0], indices[-1] + (1 if step > 0 else -1), step)
    return (_strided(builder.name(operator), source, builder.output(operator), cuts),)


def convert_pack(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
    """PACK joins its inputs along a new axis."""
    output, name = builder.output(operator), builder.name(operator)
    shape = builder.tensors[output].shape
    axis = axis_of(operator, operator.options(tflite.PackOptions).Axis(), len(shape))
    parts, ops = [], []
    for source in builder.inputs(operator, max(1, len(operator.inputs))):
        tensor = builder.tensors[source]
        one = (*tensor.shape[:axis], 1, *tensor.shape[axis:])
        parts.append(builder.add(replace(tensor, name=f"{name}/part", shape=one, data=None, is_constant=False)))
        ops.append(Reshape(name=name, inputs=(source,), outputs=(parts[-1],)))
    return (*ops, Concatenation(name=name, inputs=tuple(parts), outputs=(output,), axis=axis))


def convert_unpack(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
    """UNPACK cuts an axis into its elements and drops it."""
    (source,), name = builder.inputs(operator, 1), builder.name(operator)
    shape = builder.tensors[source].shape
    axis = axis_of(operator, operator.options(tflite.UnpackOptions).Axis(), len(shape))
    outputs = tuple(builder.tensor_id(t) for t in operator.outputs)
    one = (*shape[:axis], 1, *shape[axis + 1 :])
    parts = tuple(builder.add(replace(builder.tensors[t], name=f"{name}/part", shape=one)) for t in outputs)
    reshapes = (Reshape(name=name, inputs=(p,), outputs=(t,)) for p, t in zip(parts, outputs, strict=True))
    return (Split(name=name, inputs=(source,), outputs=parts, axis=axis), *reshapes)


def convert_mirror_pad(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
    """MIRROR_PAD joins, axis by axis, reversed slices and the input; REFLECT leaves the border itself out."""
    skip = int(operator.options(tflite.MirrorPadOptions).Mode() == tflite.MirrorPadMode.REFLECT)
    (source,), output, name = builder.inputs(operator, 1), builder.output(operator), builder.name(operator)
    widths = builder.constant(operator, 1)
    rank = len(builder.tensors[source].shape)
    if widths.shape != (rank, 2):
        raise InvalidModelError(f"{operator} has paddings of shape {widths.shape}: must be ({rank}, 2)")
    ops: list[Op] = []
    for axis in (a for a in range(rank) if widths[a].any()):
        before, after = (int(w) for w in widths[axis])
        size = builder.tensors[source].shape[axis]
        if min(before, after) < 0 or max(before, after) > size - skip:
            raise InvalidModelError(f"{operator} mirrors {(before, after)} of {size} elements: at most {size - skip}")
        first = range(before - 1 + skip, skip - 1, -1)
        last = range(size - 1 - skip, size - 1 - skip - after, -1)
        ops += _joined(builder, name, source, axis, (first, last))
        source = ops[-1].output
    return (*ops, Reshape(name=name, inputs=(source,), outputs=(output,)))


def _joined(builder: GraphBuilder, name: str, source: TensorId, axis: int, ends: tuple[range, range]) -> tuple[Op, ...]:
    """Return the slices `ends` of one axis of a tensor, and the concatenation of first, tensor and last."""
    tensor = builder.tensors[source]

    def sized(count: int) -> TensorId:
        shape = (*tensor.shape[:axis], count, *tensor.shape[axis + 1 :])
        return builder.add(replace(tensor, name=f"{name}/mirror", shape=shape))

    slices = []
    for end in ends:
        cuts = [range(d) for d in tensor.shape]
        cuts[axis] = end
        slices.append(_strided(name, source, sized(len(end)), cuts) if len(end) else None)
    first, last = slices
    parts = (*([first.output] if first else []), source, *([last.output] if last else []))
    output = sized(tensor.shape[axis] + len(ends[0]) + len(ends[1]))
    joined = Concatenation(name=name, inputs=parts, outputs=(output,), axis=axis)
    return (*(s for s in slices if s), joined)


def convert_depth_to_space(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
    """DEPTH_TO_SPACE; channels come as [block, block, C]."""
    (source,), output = builder.inputs(operator, 1), builder.output(operator)
    block = operator.options(tflite.DepthToSpaceOptions).BlockSize()
    _check_blocks(builder, operator, (output, source), block)
    return depth_to_space(
        builder.name(operator), (source, builder.tensors[source]), output, (block, block), builder.add
    )


def convert_space_to_depth(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
    """SPACE_TO_DEPTH; channels go as [block, block, C]."""
    (source,), output = builder.inputs(operator, 1), builder.output(operator)
    block = operator.options(tflite.SpaceToDepthOptions).BlockSize()
    _check_blocks(builder, operator, (source, output), block)
    return space_to_depth(
        builder.name(operator), (source, builder.tensors[source]), output, (block, block), builder.add
    )


def _check_blocks(
    builder: GraphBuilder, operator: FileOperator, wide_and_deep: tuple[TensorId, TensorId], block: int
) -> None:
    wide, deep = (builder.tensors[t].shape for t in wide_and_deep)
    if len(deep) != 4 or deep[0] != 1 or wide != (1, deep[1] * block, deep[2] * block, deep[3] // max(1, block) ** 2):
        raise InvalidModelError(f"{operator} has blocks of {block} between {wide} and {deep}: must fit, with batch 1")


def axis_of(operator: FileOperator, axis: int, rank: int) -> int:
    """Return an axis counted from the front. Raises InvalidModelError for one out of range."""
    if not -rank <= axis < rank:
        raise InvalidModelError(f"{operator} has axis {axis}: must be from {-rank} to {rank - 1}")
    return axis % rank
