"""SAME and VALID padding as explicit rows and columns."""

from __future__ import annotations

from dataclasses import dataclass

from services.compiler.ir.ops import Padding


@dataclass(frozen=True, slots=True)
class Window:
    """The reach of a window along height and width: kernel, stride and dilation, each (h, w)."""

    kernel_hw: tuple[int, int]
    stride_hw: tuple[int, int]
    dilation_hw: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if min(*self.kernel_hw, *self.stride_hw, *self.dilation_hw) < 1:
            raise ValueError(f"{self}: kernel, stride and dilation must be at least 1")

    @property
    def reach_hw(self) -> tuple[int, int]:
        """Rows and columns from the first to the last tap, both included."""
        (kernel_h, kernel_w), (dilation_h, dilation_w) = self.kernel_hw, self.dilation_hw
        return (kernel_h - 1) * dilation_h + 1, (kernel_w - 1) * dilation_w + 1


def same_padding(window: Window, input_hw: tuple[int, int]) -> Padding:
    """Return the padding that makes output = ceil(input / stride); the odd row or column goes after."""
    (top, bottom), (left, right) = (
        _same_side(size, reach, stride)
        for size, reach, stride in zip(input_hw, window.reach_hw, window.stride_hw, strict=True)
    )
    return Padding(top, bottom, left, right)


def _same_side(size: int, reach: int, stride: int) -> tuple[int, int]:
    total = max(0, (-(-size // stride) - 1) * stride + reach - size)
    return total // 2, total - total // 2


def output_hw(window: Window, padding: Padding, input_hw: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width that the window yields; 0 or less where it does not fit."""
    (reach_h, reach_w), (stride_h, stride_w) = window.reach_hw, window.stride_hw
    height = input_hw[0] + padding.top + padding.bottom
    width = input_hw[1] + padding.left + padding.right
    return (height - reach_h) // stride_h + 1, (width - reach_w) // stride_w + 1
