"""Windows of a convolution as the Thumb-2 kernels expand them: rows in place, rows copied, and values at the border."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Conv2D, DepthwiseConv2D

_PARTS = (
    "windows", "rows", "copied words", "copied bytes", "border rows", "border copies", "border copied bytes",
    "border fills", "border filled bytes",
)  # fmt: skip


def window_taps(graph: Graph, op: Conv2D | DepthwiseConv2D) -> tuple[list[int], list[int]]:
    """Return how many taps of the windows lie in the image, by output row and by output column."""
    _, kernel_h, kernel_w, _ = graph.tensors[op.weights].shape
    _, in_h, in_w, _ = graph.tensors[op.input].shape
    _, out_h, out_w, _ = graph.tensors[op.output].shape
    ys = _taps_inside(in_h, (op.stride_hw[0] * i - op.padding.top for i in range(out_h)), kernel_h, op.dilation_hw[0])
    xs = _taps_inside(in_w, (op.stride_hw[1] * i - op.padding.left for i in range(out_w)), kernel_w, op.dilation_hw[1])
    return ys, xs


def window_counts(
    graph: Graph, op: Conv2D, pairs: int, depth: int, repeated: int | None
) -> Iterator[tuple[str, float]]:
    """Yield the rows of windows: in place, copied, or assembled value by value at the border.

    `pairs` of pixels are expanded, each to a vector of `depth` values; `repeated` is the number of an output pixel
    whose window is in two pairs, None where there is none.
    """
    _, kernel_h, kernel_w, in_c = graph.tensors[op.weights].shape
    run = kernel_w * in_c
    in_place = run % 4 == 0
    ys, xs = window_taps(graph, op)
    found = _expanded(op, (kernel_h, kernel_w, in_c), ys, xs)
    if repeated is not None:
        row, column = divmod(repeated, len(xs))
        found += _expanded(op, (kernel_h, kernel_w, in_c), ys[row : row + 1], xs[column : column + 1])
    if not in_place:
        found["copied words"] = found["rows"] * (run // 4 + (run % 4 > 0 and run > 4))
        found["copied bytes"] = found["rows"] * (run % 4 if run < 4 else 0)
    for name in _PARTS:
        for kind, applies in (("direct", in_place), ("staged", not in_place)):
            yield f"{kind} {name}", found[name] if applies else 0
    expansions, words = (kernel_h, run // 4) if in_place else (1, depth // 4)
    yield "expansions", pairs * expansions
    yield "expanded words", pairs * expansions * words
    yield "odd words", pairs * expansions * (words % 2)


def column_counts(graph: Graph, op: Conv2D, pairs: int, depth: int) -> Iterator[tuple[str, float]]:
    """Yield the windows on an image of one column, two a pair, and what is copied of those not used in place."""
    _, kernel_h, _, in_c = graph.tensors[op.weights].shape
    ys, _ = window_taps(graph, op)
    border = sum(taps < kernel_h for taps in ys)
    copied = border if kernel_h * in_c % 4 == 0 else 2 * pairs
    yield "windows", 2 * pairs
    yield "copied windows", copied
    yield "copied words", copied * (depth // 4)
    yield "border windows", border


def _expanded(op: Conv2D, kernel_hwc: tuple[int, int, int], ys: Sequence[int], xs: Sequence[int]) -> Counter[str]:
    """Return the parts of the windows with so many taps in the image, by output row and by output column.

    A row of a window is whole where all its taps lie side by side in the image.
    """
    kernel_h, kernel_w, in_c = kernel_hwc
    windows = len(ys) * len(xs)
    whole = sum(x == kernel_w and op.dilation_hw[1] == 1 for x in xs) * sum(ys)
    border = windows * kernel_h - whole
    inside = sum(ys) * sum(xs) - whole * kernel_w
    outside = border * kernel_w - inside
    return Counter(
        {
            "windows": windows,
            "rows": whole,
            "border rows": border,
            "border copies": inside,
            "border copied bytes": inside * in_c,
            "border fills": outside,
            "border filled bytes": outside * in_c,
        }
    )


def _taps_inside(size: int, starts: Iterable[int], kernel: int, dilation: int) -> list[int]:
    """Return how many taps of each window lie in the image, on one axis."""
    return [sum(0 <= start + k * dilation < size for k in range(kernel)) for start in starts]
