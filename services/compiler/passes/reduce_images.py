"""A mean or sum over a flattened image is one over the image itself, which runs on its parts as they come."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Mean, Op, Reshape, Sum
from services.compiler.ir.tensor import Tensor
from services.compiler.passes.remove_dead_code import remove_dead_code

_IMAGE_AXES = (1, 2)


def reduce_images(graph: Graph) -> Graph:
    """Let each mean or sum over all pixels of a reshaped image (`x.flatten(2).mean(-1)` of PyTorch) read the image."""
    producers = graph.producers()
    return remove_dead_code(graph.with_ops(_of_image(graph, producers.get(op.inputs[0]), op) for op in graph.ops))


def _of_image(graph: Graph, before: Op | None, op: Op) -> Op:
    if not isinstance(op, Mean | Sum) or not isinstance(before, Reshape):
        return op
    image, flat = graph.tensors[before.input], graph.tensors[op.input]
    channels = flat.shape[-1]
    is_over_pixels = (
        len(flat.shape) - 1 not in op.axes and prod(flat.shape[a] for a in op.axes) * channels == flat.elements
    )
    fits = graph.tensors[op.output].shape in ((1, channels), (1, 1, 1, channels))
    if image.quant != flat.quant or not _has_channels(image, channels) or not is_over_pixels or not fits:
        return op
    return replace(op, inputs=(before.input,), axes=_IMAGE_AXES)


def _has_channels(tensor: Tensor, channels: int) -> bool:
    return len(tensor.shape) == 4 and tensor.shape[0] == 1 and tensor.shape[-1] == channels
