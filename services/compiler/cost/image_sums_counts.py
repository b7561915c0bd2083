"""What the time of sums of an image is linear in: counts of one part of it, read from the call."""

from __future__ import annotations

from collections.abc import Iterator

from services.compiler.codegen.program import KernelCall
from services.compiler.cost.call_fields import number

# pixels that the Thumb-2 kernel adds before it widens what it has
THUMB2_RUN = 255


def image_sums_counts(call: KernelCall, most: int | None = None) -> Iterator[tuple[str, float]]:
    """Yield groups of four channels and channels beside them, by call, by run of pixels and by pixel.

    A run has no gap, and at most so many pixels.
    """
    channels, stride = number(call, "channels"), number(call, "in_row_stride")
    (top, bottom), (left, right) = call.region.rows, call.region.cols
    rows, cols = bottom - top, right - left
    if cols * channels == stride:
        rows, cols = 1, rows * cols
    runs = rows * (1 if most is None else -(-cols // most))
    yield "cleared", channels if top == left == 0 else 0
    for name, count in (("call", 1), ("run", runs), ("pixel", rows * cols)):
        yield f"{name} words", count * (channels // 4)
        yield f"{name} bytes", count * (channels % 4)
