"""Resize and Upsample by nearest neighbor, wherever a TFLite variant reads the same rows and columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.compiler.importers.onnx.layout import NCHW_AS_NHWC
from services.compiler.importers.onnx.lowering import Lowering
from services.compiler.importers.onnx.model import Node
from services.compiler.importers.onnx.refusals import invalid, unsupported
from services.compiler.ir.ops import ResizeNearestNeighbor

Indices = npt.NDArray[np.int64]
MAX_SIDE = 1 << 14
# (align_corners, half_pixel_centers)
_VARIANTS = ((False, False), (False, True), (True, False))


def lower_resize(lowering: Lowering, node: Node) -> None:
    """Emit ResizeNearestNeighbor of height and width."""
    view = lowering.view(node)
    if (mode := node.text("mode", "nearest")) != "nearest":
        raise unsupported(node, f"its mode is {mode}", "use nearest")
    if len(view.shape) != 4:
        raise unsupported(node, f"its input has rank {len(view.shape)}", "resize images [N, C, H, W]")
    sizes, scales = _sizes(lowering, node, view.shape)
    if sizes[:2] != view.shape[:2]:
        raise unsupported(node, f"it makes {view.shape} {sizes}", "resize height and width only")
    if any(not 1 <= s <= MAX_SIDE for s in sizes[2:]):
        raise invalid(f"the output of Resize {node.name!r}", sizes, f"must be 1 to {MAX_SIDE} a side")
    wanted = [_onnx_indices(node, view.shape[a], sizes[a], scales[a]) for a in (2, 3)]
    for variant in _VARIANTS:
        found = [_tflite_indices(variant, view.shape[a], sizes[a]) for a in (2, 3)]
        if all(np.array_equal(w, f) for w, f in zip(wanted, found, strict=True)):
            break
    else:
        raise unsupported(
            node,
            f"no TFLite resize reads the same pixels ({node.text('coordinate_transformation_mode', 'half_pixel')}, "
            f"{node.text('nearest_mode', 'round_prefer_floor')})",
            "use a whole-number scale, or asymmetric with floor",
        )
    source = lowering.builder.in_layout(view, NCHW_AS_NHWC)

    def make(output: int) -> ResizeNearestNeighbor:
        return ResizeNearestNeighbor(
            name=node.name, inputs=(source,), outputs=(output,), align_corners=variant[0], half_pixel_centers=variant[1]
        )

    lowering.write(node.output, sizes, NCHW_AS_NHWC, lowering.type_of(view), make)


def _sizes(lowering: Lowering, node: Node, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return the output's shape and the scale of each axis."""
    sizes = lowering.integers(node, 3, "sizes") if node.op_type == "Resize" else None
    if sizes and len(sizes) == len(shape):
        return sizes, tuple(s / d for s, d in zip(sizes, shape, strict=True))
    index = 1 if node.op_type == "Upsample" or lowering.model.opset < 11 else 2
    constant = lowering.optional_constant(node, index)
    scales = () if constant is None else tuple(float(s) for s in constant.real().reshape(-1))
    if len(scales) != len(shape) or not all(0 < s < MAX_SIDE for s in scales):
        raise invalid(f"the scales of {node.op_type} {node.name!r}", scales, f"must be {len(shape)} numbers above 0")
    return tuple(int(np.floor(d * s)) for d, s in zip(shape, scales, strict=True)), scales


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
