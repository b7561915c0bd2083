"""Resize and Upsample, nearest or bilinear, wherever a TFLite variant reads the same rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from services.compiler.importers.onnx.layout import image_layout
from services.compiler.importers.onnx.lowering import Lowering
from services.compiler.importers.onnx.model import Node
from services.compiler.importers.onnx.refusals import invalid, unsupported
from services.compiler.ir.ops import ResizeBilinear, ResizeNearestNeighbor
from services.compiler.ir.tensor import TensorId

Indices = npt.NDArray[np.int64]
MAX_SIDE = 1 << 14
Number = TypeVar("Number", int, float)
# (align_corners, half_pixel_centers)
Variant = tuple[bool, bool]
_VARIANTS: tuple[Variant, ...] = ((False, False), (False, True), (True, False))


def lower_resize(lowering: Lowering, node: Node) -> None:
    """Emit ResizeNearestNeighbor or ResizeBilinear of height and width, or of a sequence's length."""
    view = lowering.view(node)
    layout = image_layout(len(view.shape))
    if layout is None:
        raise unsupported(node, f"its input has rank {len(view.shape)}", "resize images [N, C, H, W] or [N, C, L]")
    sizes, scales = _sizes(lowering, node, view.shape)
    if sizes[:2] != view.shape[:2]:
        raise unsupported(node, f"it makes {view.shape} {sizes}", "resize height and width only")
    if any(not 1 <= s <= MAX_SIDE for s in sizes[2:]):
        raise invalid(f"the output of Resize {node.name!r}", sizes, f"must be 1 to {MAX_SIDE} a side")
    sides = [_Side(view.shape[a], sizes[a], scales[a]) for a in range(2, len(sizes))]
    kind, (corners, half) = _variant(node, sides)
    source = lowering.builder.in_layout(view, layout)

    def make(output: TensorId) -> ResizeNearestNeighbor | ResizeBilinear:
        return kind(name=node.name, inputs=(source,), outputs=(output,), align_corners=corners, half_pixel_centers=half)

    lowering.write(node.output, sizes, layout, lowering.type_of(view), make)


@dataclass(frozen=True, slots=True)
class _Side:
    """One resized axis."""

    size: int
    resized: int
    scale: float


def _variant(node: Node, sides: Sequence[_Side]) -> tuple[type[ResizeNearestNeighbor] | type[ResizeBilinear], Variant]:
    """Return the operator that reads the same pixels, and its (align_corners, half_pixel_centers)."""
    match node.text("mode", "nearest"):
        case "nearest":
            return ResizeNearestNeighbor, _nearest_variant(node, sides)
        case "linear" | "bilinear":
            return ResizeBilinear, _bilinear_variant(node, sides)
        case mode:
            raise unsupported(node, f"its mode is {mode}", "use nearest or linear")


def _nearest_variant(node: Node, sides: Sequence[_Side]) -> Variant:
    wanted = [_onnx_indices(node, side.size, side.resized, side.scale) for side in sides]
    for variant in _VARIANTS:
        found = [_tflite_indices(variant, side.size, side.resized) for side in sides]
        if all(np.array_equal(w, f) for w, f in zip(wanted, found, strict=True)):
            return variant
    raise unsupported(
        node,
        f"no TFLite resize reads the same pixels ({node.text('coordinate_transformation_mode', 'half_pixel')}, "
        f"{node.text('nearest_mode', 'round_prefer_floor')})",
        "use a whole-number scale, or asymmetric with floor",
    )


def _bilinear_variant(node: Node, sides: Sequence[_Side]) -> Variant:
    mode = node.text("coordinate_transformation_mode", "asymmetric" if node.op_type == "Upsample" else "half_pixel")
    whole = all(isclose(side.size * side.scale, side.resized, rel_tol=1e-6) for side in sides)
    if node.integer("antialias", 0) or not (whole or mode == "align_corners"):
        raise unsupported(node, f"its scales are {[side.scale for side in sides]}", "use sizes, without antialias")
    match mode:
        case "asymmetric":
            return False, False
        case "half_pixel":
            return False, True
        case "pytorch_half_pixel" if all(side.resized > 1 for side in sides):
            return False, True
        case "align_corners":
            return True, False
        case _:
            raise unsupported(node, f"its coordinates are {mode}", "use asymmetric, half_pixel or align_corners")


def _sizes(lowering: Lowering, node: Node, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return the output's shape and the scale of each axis; from opset 18 on `axes` may name the resized ones."""
    rank = len(shape)
    axes = lowering.axes(node, node.integers("axes", tuple(range(rank))), rank)
    sizes = lowering.integers(node, 3, "sizes") if node.op_type == "Resize" else None
    if sizes and len(sizes) == len(axes):
        every = _every(sizes, axes, shape)
        return every, tuple(s / d for s, d in zip(every, shape, strict=True))
    index = 1 if node.op_type == "Upsample" or lowering.model.opset < 11 else 2
    constant = lowering.optional_constant(node, index)
    scales = () if constant is None else tuple(float(s) for s in constant.real().reshape(-1))
    if len(scales) != len(axes) or not all(0 < s < MAX_SIDE for s in scales):
        raise invalid(f"the scales of {node.op_type} {node.name!r}", scales, f"must be {len(axes)} numbers above 0")
    factors = _every(scales, axes, (1.0,) * rank)
    return tuple(int(np.floor(d * s)) for d, s in zip(shape, factors, strict=True)), factors


def _every(values: Sequence[Number], axes: Sequence[int], others: Sequence[Number]) -> tuple[Number, ...]:
    """Return a value an axis: those of `axes`, and `others`."""
    given = dict(zip(axes, values, strict=True))
    return tuple(given.get(axis, other) for axis, other in enumerate(others))


def _onnx_indices(node: Node, size: int, resized: int, scale: float) -> Indices:
    """Source: ONNX operator specification of Resize (coordinate_transformation_mode, nearest_mode)."""
    x = np.arange(resized, dtype=np.float64)
    old = node.op_type == "Upsample" or "coordinate_transformation_mode" not in node.attributes
    mode = node.text("coordinate_transformation_mode", "asymmetric" if node.op_type == "Upsample" else "half_pixel")
    match mode:
        case "asymmetric":
            source = x / scale
        case "half_pixel":
            source = (x + 0.5) / scale - 0.5
        case "pytorch_half_pixel":
            source = (x + 0.5) / scale - 0.5 if resized > 1 else np.zeros_like(x)
        case "align_corners":
            source = x * (size - 1) / (resized - 1) if resized > 1 else np.zeros_like(x)
        case _:
            raise unsupported(node, f"its coordinates are {mode}", "use asymmetric, half_pixel or align_corners")
    nearest = node.text("nearest_mode", "floor" if old and mode == "asymmetric" else "round_prefer_floor")
    match nearest:
        case "floor":
            whole = np.floor(source)
        case "ceil":
            whole = np.ceil(source)
        case "round_prefer_ceil":
            whole = np.floor(source + 0.5)
        case _:
            whole = np.ceil(source - 0.5)
    return np.asarray(np.clip(whole, 0, size - 1), dtype=np.int64)


def _tflite_indices(variant: tuple[bool, bool], size: int, resized: int) -> Indices:
    """Source: TFLite's reference of RESIZE_NEAREST_NEIGHBOR, which computes in float32."""
    align_corners, half_pixel = variant
    if align_corners and resized > 1:
        scale = np.float32(size - 1) / np.float32(resized - 1)
    else:
        scale = np.float32(size) / np.float32(resized)
    position = (np.arange(resized, dtype=np.float32) + np.float32(0.5 if half_pixel else 0.0)) * scale
    whole = np.floor(position + np.float32(0.5)) if align_corners else np.floor(position)
    return np.asarray(np.clip(whole, 0, size - 1), dtype=np.int64)
