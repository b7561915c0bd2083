"""Concat, Slice, Split, Gather of one index, and Pad: operators that copy elements."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from services.compiler.importers.onnx.lowering import Lowering
from services.compiler.importers.onnx.model import Node, scalar
from services.compiler.importers.onnx.refusals import invalid, unsupported
from services.compiler.importers.onnx.view import View, reshaped
from services.compiler.ir.ops import Concatenation, Pad, Split, StridedSlice
from services.compiler.ir.tensor import TensorId

# Edge padding copies a row or column as often as it repeats it.
_MOST_COPIES = 8


def lower_concat(lowering: Lowering, node: Node) -> None:
    """Emit Concat; inputs of another type than the output's are requantized first."""
    views = [lowering.view(node, i) for i in range(len(node.inputs))]
    rank = len(views[0].shape)
    (axis,) = lowering.axes(node, (node.integer("axis", 0),), rank)
    others = {tuple(d for a, d in enumerate(v.shape) if a != axis) for v in views}
    if len(others) != 1 or any(len(v.shape) != rank for v in views):
        raise invalid(
            f"the inputs of Concat {node.name!r}", [v.shape for v in views], f"may differ on axis {axis} only"
        )
    target = lowering.target(node)
    type_ = target.type or lowering.type_of(views[0])
    same = [lowering.requantized(v, type_, f"{node.inputs[i]}/requantized") for i, v in enumerate(views)]
    layout = lowering.builder.cheapest_layout(same, rank)
    sources = tuple(lowering.builder.in_layout(v, layout) for v in same)
    shape = tuple(sum(v.shape[axis] for v in views) if a == axis else d for a, d in enumerate(views[0].shape))
    lowering.write(
        target.value,
        shape,
        layout,
        type_,
        lambda out: Concatenation(
            name=node.name, inputs=sources, outputs=(out,), axis=layout.axis(axis), activation=target.activation
        ),
    )


def lower_slice(lowering: Lowering, node: Node) -> None:
    """Emit Slice with constant bounds; negative steps run backwards."""
    view = lowering.view(node)
    rank = len(view.shape)
    starts, ends = lowering.integers(node, 1, "starts"), lowering.integers(node, 2, "ends")
    if starts is None or ends is None or len(starts) != len(ends):
        raise invalid(f"the bounds of Slice {node.name!r}", (starts, ends), "must be as many starts as ends")
    axes = lowering.axes(node, lowering.integers(node, 3, "axes") or tuple(range(len(starts))), rank)
    steps = lowering.integers(node, 4, "steps") or (1,) * len(starts)
    if not len(axes) == len(starts) == len(steps):
        raise invalid(
            f"the bounds of Slice {node.name!r}", f"{len(starts)} starts", "must be one for each axis and step"
        )
    if 0 in steps:
        raise invalid(f"the steps of Slice {node.name!r}", steps, "must not be 0")
    cuts = [range(size) for size in view.shape]
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        cuts[axis] = range(view.shape[axis])[start:end:step]
    if any(not len(cut) for cut in cuts):
        raise invalid(f"the output of Slice {node.name!r}", "empty", "must hold at least one element")
    _emit_slice(lowering, node, view, cuts)


def lower_gather(lowering: Lowering, node: Node) -> None:
    """Emit Gather of one index, or of evenly spaced rising ones, as a slice."""
    view = lowering.view(node)
    indices = lowering.constant(node, 1).data
    (axis,) = lowering.axes(node, (node.integer("axis", 0),), len(view.shape))
    size = view.shape[axis]
    flat = [int(i) for i in indices.reshape(-1)]
    if indices.dtype.kind not in "iu" or not flat or any(not -size <= i < size for i in flat):
        raise invalid(f"the indices of Gather {node.name!r}", flat[:8], f"must be -{size} to {size - 1}")
    rising = [i % size for i in flat]
    steps = {b - a for a, b in pairwise(rising)} or {1}
    if indices.ndim > 1 or len(steps) != 1 or min(steps) < 1:
        raise unsupported(node, f"its indices are {flat[:8]}", "use one index or evenly spaced rising ones")
    cuts = [range(d) for d in view.shape]
    cuts[axis] = range(rising[0], rising[-1] + 1, steps.pop())
    _emit_slice(lowering, node, view, cuts)
    if indices.ndim == 0:
        result = lowering.values[node.output]
        assert isinstance(result, View)  # just written
        lowering.bind(node.output, reshaped(result, [d for a, d in enumerate(result.shape) if a != axis]))


def _emit_slice(lowering: Lowering, node: Node, view: View, cuts: Sequence[range]) -> None:
    shape = tuple(len(cut) for cut in cuts)
    if shape == view.shape:
        lowering.bind(node.output, view)
        return
    layout = lowering.builder.cheapest_layout([view], len(shape))
    source = lowering.builder.in_layout(view, layout)
    begin = layout.spread([cut.start for cut in cuts], 0)
    end = layout.spread([cut[-1] + (1 if cut.step > 0 else -1) for cut in cuts], 1)
    strides = layout.spread([cut.step for cut in cuts], 1)

    def make(output: TensorId) -> StridedSlice:
        return StridedSlice(name=node.name, inputs=(source,), outputs=(output,), begin=begin, end=end, strides=strides)

    lowering.write(node.output, shape, layout, lowering.type_of(view), make)


def lower_split(lowering: Lowering, node: Node) -> None:
    """Emit Split into the sizes that `split` gives, or into equal parts (the last may be smaller)."""
    view = lowering.view(node)
    (axis,) = lowering.axes(node, (node.integer("axis", 0),), len(view.shape))
    count = len(node.outputs)
    size = view.shape[axis]
    part = -(-size // count)
    sizes = lowering.integers(node, 1, "split") or tuple(min(part, size - part * i) for i in range(count))
    if len(sizes) != count or sum(sizes) != size or min(sizes) < 1:
        raise invalid(
            f"the parts of Split {node.name!r}", sizes, f"must be {count} sizes above 0 that add up to {size}"
        )
    if count == 1:
        lowering.bind(node.output, view)
        return
    layout = lowering.builder.cheapest_layout([view], len(view.shape))
    source = lowering.builder.in_layout(view, layout)
    shapes = [tuple(s if a == axis else d for a, d in enumerate(view.shape)) for s in sizes]
    names = [name or f"{node.name}/unused_{i}" for i, name in enumerate(node.outputs)]
    type_ = lowering.type_of(view)
    outputs = tuple(
        lowering.builder.add_typed(name, layout.stored_shape(shape), type_)
        for name, shape in zip(names, shapes, strict=True)
    )
    lowering.builder.emit(Split(name=node.name, inputs=(source,), outputs=outputs, axis=layout.axis(axis)))
    for name, output, shape in zip(names, outputs, shapes, strict=True):
        lowering.bind(name, layout.restore(output, shape))


def lower_pad(lowering: Lowering, node: Node) -> None:
    """Emit Pad with a constant; real values are brought into the input's quantization."""
    view = lowering.view(node)
    rank = len(view.shape)
    mode = node.text("mode", "constant")
    pads = lowering.integers(node, 1, "pads") or ()
    axes = lowering.axes(node, lowering.integers(node, 3, "axes") or tuple(range(rank)), rank)
    if len(pads) != 2 * len(axes) or any(not 0 <= p < 1 << 16 for p in pads):
        raise invalid(f"pads of Pad {node.name!r}", pads, f"must be {2 * len(axes)} numbers from 0")
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        before[axis], after[axis] = pads[i], pads[i + len(axes)]
    if not any(pads):
        lowering.bind(node.output, view)
        return
    if mode != "constant":
        _lower_border(lowering, node, view, (before, after))
        return
    layout = lowering.builder.cheapest_layout([view], rank)
    source = lowering.builder.in_layout(view, layout)
    shape = tuple(b + d + a for b, d, a in zip(before, view.shape, after, strict=True))
    value = _pad_value(lowering, node, view)

    def make(output: TensorId) -> Pad:
        first, last = layout.spread(before, 0), layout.spread(after, 0)
        return Pad(name=node.name, inputs=(source,), outputs=(output,), before=first, after=last, value=value)

    lowering.write(node.output, shape, layout, lowering.type_of(view), make)


def _lower_border(lowering: Lowering, node: Node, view: View, widths: tuple[Sequence[int], Sequence[int]]) -> None:
    """Emit a padding that repeats pixels, axis by axis: slices of the image, joined around it."""
    layout = lowering.builder.cheapest_layout([view], len(view.shape))
    shape = list(view.shape)
    source = lowering.builder.in_layout(view, layout)
    for axis, (before, after) in enumerate(zip(*widths, strict=True)):
        if before or after:
            ends = _border(node, shape[axis], before, after)
            shape[axis] += before + after
            source = _joined(lowering, node, source, layout.axis(axis), ends)
    lowering.bind(node.output, layout.restore(source, shape))


def _border(node: Node, size: int, before: int, after: int) -> tuple[list[range], list[range]]:
    """Return which pixels stand before and after an axis, as slices."""
    mode = node.text("mode", "constant")
    match mode:
        case "reflect" if max(before, after) < size:
            first, last = range(before, 0, -1), range(size - 2, size - 2 - after, -1)
            return [first] if before else [], [last] if after else []
        case "edge" if max(before, after) <= _MOST_COPIES:
            return [range(1)] * before, [range(size - 1, size)] * after
        case _:
            raise unsupported(node, f"its mode is {mode} by {(before, after)} of {size}", "pad with a constant")


def _joined(
    lowering: Lowering, node: Node, source: TensorId, axis: int, ends: tuple[list[range], list[range]]
) -> TensorId:
    tensor = lowering.builder.tensors[source]

    def sized(count: int) -> TensorId:
        shape = (*tensor.shape[:axis], count, *tensor.shape[axis + 1 :])
        return lowering.builder.add(f"{node.output}/border", shape, tensor.dtype, tensor.quant)

    def cut(end: range) -> TensorId:
        cuts = [range(d) if a != axis else end for a, d in enumerate(tensor.shape)]
        part = sized(len(end))
        begin, stop, step = (tuple(getattr(c, name) for c in cuts) for name in ("start", "stop", "step"))
        lowering.builder.emit(
            StridedSlice(name=node.name, inputs=(source,), outputs=(part,), begin=begin, end=stop, strides=step)
        )
        return part

    parts = (*map(cut, ends[0]), source, *map(cut, ends[1]))
    output = sized(tensor.shape[axis] + sum(len(end) for side in ends for end in side))
    lowering.builder.emit(Concatenation(name=node.name, inputs=parts, outputs=(output,), axis=axis))
    return output


def _pad_value(lowering: Lowering, node: Node, view: View) -> int:
    constant = lowering.optional_constant(node, 2)
    real = node.real("value", 0.0) if constant is None else scalar(constant.real())
    type_ = lowering.type_of(view)
    low, high = type_.dtype.value_range
    whole = np.clip(np.rint(real / type_.quant.scale[0]) + type_.quant.zero_point[0], low, high)
    if not np.isfinite(whole):
        raise invalid(f"the value of Pad {node.name!r}", real, "must be a finite number")
    return int(whole)
