"""STRIDED_SLICE with its masks resolved to plain begin, end and stride."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tflite

from services.compiler.errors import InvalidModelError, UnsupportedModelError
from services.compiler.importers.tflite_file import FileOperator
from services.compiler.importers.tflite_graph_builder import GraphBuilder
from services.compiler.ir.ops import Op, StridedSlice


def convert_strided_slice(builder: GraphBuilder, operator: FileOperator) -> tuple[Op, ...]:
    """Return the slice; begin and end are clamped to the dimension, a shrunk axis takes one element."""
    options = operator.options(tflite.StridedSliceOptions)
    if options.EllipsisMask() or options.NewAxisMask() or options.Offset():
        raise UnsupportedModelError(
            f"{operator} has an ellipsis mask, a new-axis mask or relative ends: "
            "must have begin, end and shrink masks only"
        )
    (source,) = builder.inputs(operator, 1)
    shape = builder.tensors[source].shape
    begin, end, strides = (builder.integers(operator, position) for position in (1, 2, 3))
    if not len(begin) == len(end) == len(strides) == len(shape):
        raise InvalidModelError(f"{operator} has {len(begin)} begins for shape {shape}: must have one a dimension")
    if 0 in strides:
        raise InvalidModelError(f"{operator} has strides {strides}: none may be 0")
    limits = [_resolve(size, (begin[i], end[i], strides[i]), _Masks.of(options, i)) for i, size in enumerate(shape)]
    return (
        StridedSlice(
            name=builder.name(operator),
            inputs=(source,),
            outputs=(builder.output(operator),),
            begin=tuple(start for start, _ in limits),
            end=tuple(stop for _, stop in limits),
            strides=strides,
        ),
    )


@dataclass(frozen=True, slots=True)
class _Masks:
    """Whether one axis ignores its begin, ignores its end, or takes a single element and disappears."""

    begin: bool
    end: bool
    shrink: bool

    @classmethod
    def of(cls, options: Any, axis: int) -> _Masks:
        """Return the bits of one axis."""
        masks = options.BeginMask(), options.EndMask(), options.ShrinkAxisMask()
        return cls(*(bool(mask >> axis & 1) for mask in masks))


def _resolve(size: int, limits: tuple[int, int, int], masks: _Masks) -> tuple[int, int]:
    """Return where one axis starts and stops: within [0, size], or [-1, size - 1] when it runs backwards."""
    begin, end, stride = limits
    low, high = (0, size) if stride > 0 else (-1, size - 1)
    first, last = (low, high) if stride > 0 else (high, low)
    start = first if masks.begin else _clamp(begin + size if begin < 0 else begin, low, high)
    if masks.shrink:
        return start, start + (1 if stride > 0 else -1)
    stop = last if masks.end else _clamp(end + size if end < 0 else end, low, high)
    return start, stop


def _clamp(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))
