"""Squeeze-and-excite without the image that is squeezed: it is made once for its mean, and again for the rest.

The mean is needed before its image can be scaled, so the image has to be held whole, or made twice. With the sums of
its channels kept (`ImageSums`) both times it can be made in parts. What is held instead is what it is made from, the
checkpoint. Of an image that nothing else reads, as before a classifier, sums are kept and nothing is made twice. The
mean may be an average pool whose window is the image, as TFLite's converter writes it: only its rounding differs.
Source of the idea: Chen et al., Training Deep Nets with Sublinear Memory Cost (2016), for inference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import AveragePool2D, Mean, Op
from services.compiler.ir.planned_ops import ImageSums, MeanOfSums, PoolOfSums, PullRows, TransposeImage
from services.compiler.ir.tensor import DType, Tensor, TensorId
from services.compiler.passes.replace_tensors import read_instead
from services.compiler.schedule.rows import is_row_wise, window


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tensor that is held whole while operators, by their numbers, make an image from it: twice, or if they are none
    once, because only its mean is needed.
    """

    image: TensorId
    tensor: TensorId
    ops: tuple[int, ...]


def image_means(graph: Graph) -> tuple[TensorId, ...]:
    """Return the outputs of means and average pools over all pixels of an int8 image."""
    return tuple(op.output for op in graph.ops if _is_of_image(graph, op))


def checkpoints(graph: Graph, mean: TensorId, *, pulled_again: bool = False) -> tuple[Checkpoint, ...]:
    """Return from where an image can be made again, the nearest first: each is smaller than those before and the image,
    the last can be an input of the network, which is held anyway, or with the caller if rows may be `pulled_again`.
    """
    producers = graph.producers()
    image = producers[mean].input
    if len(graph.consumers()[image]) == 1 and image not in graph.outputs:
        return (Checkpoint(image, image, ()),)
    found: list[Checkpoint] = []
    size = graph.tensors[image].size_bytes
    for checkpoint in _behind(graph, image, pulled_again):
        held = graph.tensors[checkpoint.tensor].size_bytes
        if isinstance(producers.get(checkpoint.tensor), PullRows):
            continue  # what is pulled is never held whole
        if held < size or _is_held_anyway(graph, producers.get(checkpoint.tensor), checkpoint.tensor):
            found.append(checkpoint)
            size = held
    return tuple(found)


def _is_held_anyway(graph: Graph, maker: Op | None, tensor: TensorId) -> bool:
    """Whether the tensor is an input of the network, or what became of it where it lay."""
    return tensor in graph.inputs or (isinstance(maker, TransposeImage) and maker.input in graph.inputs)


def made_again(graph: Graph, mean: TensorId, checkpoint: Checkpoint) -> Graph:
    """Return the graph in which the mean is one of sums, and what follows reads the image as it is made again."""
    at = next(i for i, op in enumerate(graph.ops) if mean in op.outputs)
    op, image = graph.ops[at], graph.tensors[graph.ops[at].input]
    fresh = graph.fresh_id()
    channels = image.shape[3]
    sums = Tensor(f"sums of {image.name}", (1, 1, 1, channels), DType.INT32, image.quant)
    halves = (
        ImageSums(name=f"{op.name} (sums)", inputs=(op.input,), outputs=(fresh,)),
        _of_sums(op, fresh, image.elements // channels),
    )
    gates, rest = _gates_first(graph, at)
    made = [t for n in checkpoint.ops for t in graph.ops[n].outputs]
    again = {t: fresh + 1 + n for n, t in enumerate(made)}
    copies = [_copied(graph.ops[n], again) for n in checkpoint.ops]
    after = [read_instead(op, again) for op in rest]
    tensors = {fresh: sums, **{copy: _renamed(graph.tensors[t]) for t, copy in again.items()}}
    return graph.with_tensors(tensors).with_ops((*graph.ops[:at], *halves, *gates, *copies, *after))


def _is_of_image(graph: Graph, op: Op) -> bool:
    if not isinstance(op, Mean | AveragePool2D):
        return False
    source, result = graph.tensors[op.input], graph.tensors[op.output]
    is_image = len(source.shape) == 4 and source.shape[0] == 1 and not source.is_constant
    if not is_image or not source.dtype is result.dtype is DType.INT8:
        return False
    if isinstance(op, Mean):
        return set(op.axes) == {1, 2}
    seen = tuple(window(graph, op, op.input, axis).needed(0, 1) for axis in (1, 2))
    return result.shape[1:3] == (1, 1) and seen == ((0, source.shape[1]), (0, source.shape[2]))


def _of_sums(op: Op, sums: TensorId, pixels: int) -> Op:
    """Return the second half of a mean or pool."""
    if isinstance(op, AveragePool2D):
        return PoolOfSums(name=op.name, inputs=(sums,), outputs=op.outputs, pixels=pixels, activation=op.activation)
    return MeanOfSums(name=op.name, inputs=(sums,), outputs=op.outputs, pixels=pixels)


def _behind(graph: Graph, image: TensorId, pulled_again: bool) -> Iterator[Checkpoint]:
    """Yield the tensors that alone the image is made from, beside constants and single pixels, the nearest first."""
    producer = {t: n for n, op in enumerate(graph.ops) for t in op.outputs}
    needed, ops = {image}, list[int]()
    while (last := max(producer.get(t, -1) for t in needed)) >= 0:
        op = graph.ops[last]
        if not is_row_wise(graph, op) or (isinstance(op, PullRows) and not pulled_again):
            return
        ops.append(last)
        needed = needed.difference(op.outputs).union(t for t in op.inputs if _has_rows(graph.tensors[t]))
        if len(needed) == 1:
            yield Checkpoint(image, next(iter(needed)), tuple(reversed(ops)))


def _has_rows(tensor: Tensor) -> bool:
    return not tensor.is_constant and tensor.elements > tensor.shape[-1]


def _gates_first(graph: Graph, mean: int) -> tuple[list[Op], list[Op]]:
    """Return the operators behind a mean that need nothing else of the network, and the others."""
    known = set(graph.ops[mean].outputs)
    gates, rest = list[Op](), list[Op]()
    for op in graph.ops[mean + 1 :]:
        if all(t in known or graph.tensors[t].is_constant for t in op.inputs):
            known.update(op.outputs)
            gates.append(op)
        else:
            rest.append(op)
    return gates, rest


def _copied(op: Op, again: Mapping[TensorId, TensorId]) -> Op:
    outputs = tuple(again[t] for t in op.outputs)
    return replace(read_instead(op, again), name=f"{op.name} (again)", outputs=outputs)


def _renamed(tensor: Tensor) -> Tensor:
    return replace(tensor, name=f"{tensor.name} (again)")
