"""Any tensor as [N, H, W, C]: how kernels, which know four dimensions, see shapes of lower rank."""

from __future__ import annotations

from services.compiler.codegen.program import Fields, RegionArg
from services.compiler.ir.graph import Graph
from services.compiler.ir.tensor import Tensor, TensorId

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


def whole(tensor: Tensor) -> RegionArg:
    """Return the region that covers all rows and columns."""
    _, h, w, _ = nhwc(tensor.shape)
    return RegionArg((0, h), (0, w))


def flat(elements: int) -> RegionArg:
    """Return the region of one row of single elements."""
    return RegionArg((0, 1), (0, elements))


def output_fields(zero_point: int, limits: tuple[int, int]) -> Fields:
    """Return the initializer of a `tf_output`."""
    return ("zero_point", zero_point), ("min", limits[0]), ("max", limits[1])
