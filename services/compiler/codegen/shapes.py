"""Initializers that say what of a tensor a kernel computes, and within which limits."""

from __future__ import annotations

from services.compiler.codegen.program import Fields, RegionArg
from services.compiler.ir.shapes import nhwc
from services.compiler.ir.tensor import Tensor


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
