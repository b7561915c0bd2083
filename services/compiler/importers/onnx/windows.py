"""Kernel, stride, dilation and explicit padding of ONNX convolutions and pools, as pairs (height, width)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.compiler.importers.onnx.model import Node
from services.compiler.importers.onnx.refusals import invalid
from services.compiler.importers.padding import Window, output_hw, same_padding
from services.compiler.ir.ops import Padding

MAX_WINDOW = 1 << 16


@dataclass(frozen=True, slots=True)
class Windows:
    """A sliding window with its padding and the size of what it yields; 1-D windows have height 1."""

    kernel_hw: tuple[int, int]
    stride_hw: tuple[int, int]
    dilation_hw: tuple[int, int]
    padding: Padding
    output_hw: tuple[int, int]


def read_windows(node: Node, kernel: Sequence[int], input_hw: Sequence[int]) -> Windows:
    """Return the windows of a node. `kernel` has two entries (height 1 for 1-D), `input_hw` too.

    Source: ONNX operator specification of Conv, MaxPool and AveragePool (auto_pad, pads, ceil_mode).
    """
    kernel_hw = (int(kernel[0]), int(kernel[1]))
    size_hw = (int(input_hw[0]), int(input_hw[1]))
    stride_hw, dilation_hw = _pair(node, "strides"), _pair(node, "dilations")
    numbers = (*kernel_hw, *stride_hw, *dilation_hw)
    if min(numbers) < 1 or max(numbers) > MAX_WINDOW:
        raise invalid(
            f"the window of {node.op_type} {node.name!r}",
            f"kernel {kernel_hw}, strides {stride_hw}, dilations {dilation_hw}",
            f"must be 1 to {MAX_WINDOW}",
        )
    window = Window(kernel_hw, stride_hw, dilation_hw)
    padding = _padding(node, window, size_hw)
    if node.integer("ceil_mode", 0):
        padding = _ceiled(window, padding, size_hw)
    result_hw = output_hw(window, padding, size_hw)
    if min(result_hw) < 1:
        raise invalid(f"the output of {node.op_type} {node.name!r}", result_hw, f"the window must fit input {size_hw}")
    return Windows(kernel_hw, stride_hw, dilation_hw, padding, result_hw)


def _pair(node: Node, attribute: str) -> tuple[int, int]:
    values = node.integers(attribute, (1, 1))
    match values:
        case (width,):
            return 1, width
        case (height, width):
            return height, width
        case _:
            raise invalid(f"{attribute} of {node.op_type} {node.name!r}", values, "must have one entry an image axis")


def _padding(node: Node, window: Window, size_hw: tuple[int, int]) -> Padding:
    match node.text("auto_pad", "NOTSET"):
        case "NOTSET" | "":
            return _explicit(node)
        case "VALID":
            return Padding()
        case "SAME_UPPER":
            return same_padding(window, size_hw)
        case "SAME_LOWER":
            upper = same_padding(window, size_hw)
            return Padding(upper.bottom, upper.top, upper.right, upper.left)
        case other:
            raise invalid(f"auto_pad of {node.op_type} {node.name!r}", other, "must be NOTSET, VALID or SAME_*")


def _explicit(node: Node) -> Padding:
    pads = node.integers("pads", ())
    if any(not 0 <= p <= MAX_WINDOW for p in pads):
        raise invalid(f"pads of {node.op_type} {node.name!r}", pads, f"must be 0 to {MAX_WINDOW}")
    match pads:
        case ():
            return Padding()
        case (left, right):
            return Padding(0, 0, left, right)
        case (top, left, bottom, right):
            return Padding(top, bottom, left, right)
        case _:
            raise invalid(f"pads of {node.op_type} {node.name!r}", pads, "must have two entries an image axis")


def _ceiled(window: Window, padding: Padding, size_hw: tuple[int, int]) -> Padding:
    """Return more padding at the end, so that a last window that hangs over is computed, if it starts inside."""
    extra = []
    before, after = (padding.top, padding.left), (padding.bottom, padding.right)
    for axis in (0, 1):
        room = size_hw[axis] + before[axis] + after[axis] - window.reach_hw[axis]
        hanging = -room % window.stride_hw[axis] if room >= 0 else 0
        starts_inside = room + hanging < size_hw[axis] + before[axis]
        extra.append(hanging if starts_inside else 0)
    return replace(padding, bottom=padding.bottom + extra[0], right=padding.right + extra[1])
