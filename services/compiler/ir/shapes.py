"""Any tensor as [N, H, W, C]: how kernels, which know four dimensions, see shapes of lower rank."""

from __future__ import annotations

from services.compiler.ir.graph import Graph
from services.compiler.ir.tensor import TensorId

Shape4 = tuple[int, int, int, int]


def nhwc(shape: tuple[int, ...]) -> Shape4:
    """Return the shape with leading ones; a rank over 4 (the importers refuse it) is a ValueError."""
    if len(shape) > 4:
        raise ValueError(f"shape {shape} has {len(shape)} dimensions: at most 4 are possible")
    n, h, w, c = (1,) * (4 - len(shape)) + shape
    return n, h, w, c


def dense_strides(shape: Shape4) -> Shape4:
    """Return the elements from one index to the next in every dimension, without gaps."""
    _, h, w, c = shape
    return h * w * c, w * c, c, 1


def row_stride(graph: Graph, tensor: TensorId) -> int:
    """Return the elements from one row of a tensor to the next."""
    return dense_strides(nhwc(graph.tensors[tensor].shape))[1]
