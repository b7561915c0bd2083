"""Lazy layouts: an ONNX value as a reordering of a stored NHWC tensor, so that most transposes never exist.

ONNX is NCHW, the graph NHWC. A `View` says: cut the stored tensor's axes into `factors`, put them in `order`, read the
result as `shape`. Transposes and reshapes only change the view; a tensor is moved when an operator needs it otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt

from services.compiler.ir.tensor import TensorId


@dataclass(frozen=True, slots=True)
class View:
    """The value is `stored.reshape(factors).transpose(order).reshape(shape)`; factors are above 1, and few."""

    tensor: TensorId
    factors: tuple[int, ...]
    order: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def is_plain(self) -> bool:
        """Whether the value is the stored bytes in their own order."""
        return self.order == tuple(range(len(self.order)))

    def same_order(self, other: View) -> bool:
        """Whether both values reorder their stored bytes alike."""
        return (self.factors, self.order, self.shape) == (other.factors, other.order, other.shape)

    def indices(self) -> npt.NDArray[np.int64]:
        """Return for each element of the value, in its row-major order, its position in the stored bytes."""
        return np.arange(prod(self.factors)).reshape(self.factors).transpose(self.order).reshape(-1)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a factor: `factor` is its index, `part` counts from the outermost."""

    factor: int
    part: int
    size: int


def plain(tensor: TensorId, shape: Sequence[int]) -> View:
    """Return the view of a tensor as it is stored."""
    total = prod(shape)
    factors = (total,) if total > 1 else ()
    return View(tensor, factors, tuple(range(len(factors))), tuple(shape))


def reshaped(view: View, shape: Sequence[int]) -> View:
    """Return the view under another shape of as many elements."""
    if prod(shape) != prod(view.shape):
        raise ValueError(f"{list(view.shape)} cannot be reshaped to {list(shape)}")
    return replace(view, shape=tuple(shape))


def transposed(view: View, permutation: Sequence[int]) -> View | None:
    """Return the view with its axes in another order, or None where a reshape has merged moved axes unevenly."""
    pieces = [_Piece(f, 0, view.factors[f]) for f in view.order]
    groups = _cut(pieces, view.shape)
    if groups is None:
        return None
    moved = [piece for axis in permutation for piece in groups[axis]]
    return _normal(view.tensor, moved, tuple(view.shape[axis] for axis in permutation))


def stored_axes(view: View, stored_shape: Sequence[int]) -> tuple[int, ...] | None:
    """Return the permutation p with value = stored.transpose(p), if the view is a permutation of whole stored axes."""
    stored = _cut([_Piece(f, 0, size) for f, size in enumerate(view.factors)], stored_shape)
    if stored is None or len(view.shape) != len(stored_shape):
        return None
    axis_of = {(p.factor, p.part): axis for axis, group in enumerate(stored) for p in group}
    in_value = sorted((p for g in stored for p in g), key=lambda p: (view.order.index(p.factor), p.part))
    groups = _cut_whole(in_value, view.shape)
    if groups is None or any(len(group) > 1 for group in (*groups, *stored)):
        return None
    spare = iter([axis for axis, size in enumerate(stored_shape) if size == 1])
    return tuple(axis_of[(g[0].factor, g[0].part)] if g else next(spare) for g in groups)


def _cut(pieces: Sequence[_Piece], shape: Sequence[int]) -> list[list[_Piece]] | None:
    """Split the pieces (row-major) so that each axis of `shape` is a run of whole ones; None where they do not fit."""
    rest = list(reversed(pieces))
    groups: list[list[_Piece]] = []
    for size in shape:
        group: list[_Piece] = []
        needed = size
        while needed > 1:
            piece = rest.pop()
            if needed % piece.size == 0:
                group.append(piece)
                needed //= piece.size
            elif piece.size % needed == 0:
                group.append(replace(piece, size=needed))
                rest.append(_Piece(piece.factor, piece.part + 1, piece.size // needed))
                needed = 1
            else:
                return None
        groups.append(group)
    return groups


def _cut_whole(pieces: Sequence[_Piece], shape: Sequence[int]) -> list[list[_Piece]] | None:
    """As `_cut`, but None where a piece would have to be split."""
    groups = _cut(pieces, shape)
    whole = None if groups is None else sum(len(g) for g in groups)
    return groups if whole == len(pieces) else None


def _normal(tensor: TensorId, moved: Sequence[_Piece], shape: tuple[int, ...]) -> View:
    """Merge pieces that are neighbors both in the stored tensor and in the value."""
    stored = sorted(range(len(moved)), key=lambda i: (moved[i].factor, moved[i].part))
    rank_of = {index: rank for rank, index in enumerate(stored)}
    runs: list[list[int]] = []
    for index in range(len(moved)):
        if runs and rank_of[index] == rank_of[runs[-1][-1]] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    by_stored = sorted(range(len(runs)), key=lambda r: rank_of[runs[r][0]])
    factors = tuple(prod(moved[i].size for i in runs[r]) for r in by_stored)
    order = tuple(by_stored.index(r) for r in range(len(runs)))
    return View(tensor, factors, order, shape)
