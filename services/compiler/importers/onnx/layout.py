"""Axis orders in which operators run: NHWC for images, rows kept as they are for everything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.compiler.importers.onnx.model import Array
from services.compiler.importers.onnx.view import View, plain, reshaped, transposed
from services.compiler.ir.tensor import TensorId


@dataclass(frozen=True, slots=True)
class Layout:
    """ONNX axis i is axis `lift[i]` of a value with unit axes put in; `permutation` orders those axes as stored."""

    lift: tuple[int, ...]
    permutation: tuple[int, ...]

    def lifted(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return an ONNX shape with the unit axes put in."""
        full = [1] * len(self.permutation)
        for axis, size in zip(self.lift, shape, strict=True):
            full[axis] = size
        return tuple(full)

    def stored_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the stored tensor of an ONNX shape."""
        full = self.lifted(shape)
        return tuple(full[axis] for axis in self.permutation)

    def axis(self, onnx_axis: int) -> int:
        """Return the stored axis of a non-negative ONNX axis."""
        return self.permutation.index(self.lift[onnx_axis])

    def spread(self, per_axis: Sequence[int], default: int) -> tuple[int, ...]:
        """Return one number an ONNX axis as one a stored axis."""
        full = [default] * len(self.permutation)
        for onnx_axis, number in enumerate(per_axis):
            full[self.axis(onnx_axis)] = number
        return tuple(full)

    def of(self, view: View) -> View | None:
        """Return the view of the same bytes as this layout stores them, None where it cannot be said as a view."""
        return transposed(reshaped(view, self.lifted(view.shape)), self.permutation)

    def array(self, data: Array) -> Array:
        """Return a constant as this layout stores it."""
        return np.ascontiguousarray(data.reshape(self.lifted(data.shape)).transpose(self.permutation))

    def restore(self, tensor: TensorId, shape: Sequence[int]) -> View:
        """Return the ONNX value of `shape` that a tensor in this layout holds."""
        inverse = tuple(self.permutation.index(axis) for axis in range(len(self.permutation)))
        moved = transposed(plain(tensor, self.stored_shape(shape)), inverse)
        assert moved is not None  # a plain view can always be transposed
        return reshaped(moved, shape)


def as_is(rank: int) -> Layout:
    """Return the layout that keeps ONNX's axes."""
    return Layout(tuple(range(rank)), tuple(range(rank)))


NCHW_AS_NHWC = Layout((0, 1, 2, 3), (0, 2, 3, 1))
# A 1-D image [N, C, L] is stored [N, 1, L, C].
NCL_AS_N1LC = Layout((0, 1, 3), (0, 2, 3, 1))


def image_layout(rank: int) -> Layout | None:
    """Return the layout of channels-first images of a rank, None for ranks that are no images."""
    return {3: NCL_AS_N1LC, 4: NCHW_AS_NHWC}.get(rank)


def candidates(rank: int) -> tuple[Layout, ...]:
    """Return the layouts worth trying for a value of a rank, the preferred first."""
    image = image_layout(rank)
    return (as_is(rank),) if image is None else (image, as_is(rank))
