"""What the time of kernels that only move bytes is linear in, read from their parameters and the rows of each turn.

Copies and fills go by words where addresses allow it. Tensors begin at a word; their rows are taken to lie one after
the other in a ring of rows, too, which is so where a row is a number of words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from services.compiler.codegen.program import KernelCall
from services.compiler.cost.call_fields import number, numbers

Span = tuple[int, int]
Count = tuple[str, float]

_WORD, _WORDS = 4, 16  # bytes that a copy moves at once


def movement_counts(call: KernelCall, turns: Sequence[Span]) -> Iterator[Count]:
    """Yield the counts of a call in as many turns, each of some rows of the output: copies, fills and tables."""
    match call.function:
        case "tf_copy_s8":
            yield from _copy_counts(call, turns)
        case "tf_fill_s8":
            yield from _fill_counts(call, turns)
        case "tf_lut_s8":
            rows, elements = sum(stop - start for start, stop in turns), _column_elements(call)
            yield "rows", rows
            yield "elements", rows * elements
        case _:
            raise AssertionError(f"{call.function} moves no bytes")


def _copy_counts(call: KernelCall, turns: Sequence[Span]) -> Iterator[Count]:
    """A box of runs of bytes; of its rows those that lie in a turn."""
    size, in_stride, out_stride = (numbers(call, name) for name in ("size", "in_stride", "out_stride"))
    in_offset, out_offset, corner = (number(call, name) for name in ("in_offset", "out_offset", "out_row"))
    images, height, width, length = size
    spans = [(_clipped(start - corner, height), _clipped(stop - corner, height)) for start, stop in turns]
    rows = images * sum(stop - start for start, stop in spans)
    yield "rows", rows
    if not in_stride[3] == out_stride[3] == 1:
        yield "strided runs", rows * width
        yield "strided bytes", rows * width * length
        return
    places = (_places(spans), _places([(0, width)]), _places([(0, images)]))
    found: Counter[str] = Counter()
    for (y, x, n), times in _product(*places):
        source = in_offset + y * in_stride[1] + x * in_stride[2] + n * in_stride[0]
        target = out_offset + y * out_stride[1] + x * out_stride[2] + n * out_stride[0]
        alike = (source - target) % _WORD == 0
        for name, count in _copied(target, length) if alike else (("runs", 1), ("bytes", length)):
            found[name] += times * count
    yield from found.items()


def _copied(address: int, length: int) -> Iterator[tuple[str, int]]:
    """Yield what a copy does that begins so far from a word on both sides: bytes up to one, then words, then bytes."""
    first = min(length, -address % _WORD)
    rest = length - first
    yield "aligned runs", 1
    yield "first bytes", first
    yield "four words", rest // _WORDS
    yield "words", rest % _WORDS // _WORD
    yield "bytes", rest % _WORD


def _fill_counts(call: KernelCall, turns: Sequence[Span]) -> Iterator[Count]:
    stride, length = number(call, "out_row_stride"), _column_elements(call)
    first = call.region.cols[0] * (length // (call.region.cols[1] - call.region.cols[0]))
    yield "rows", sum(stop - start for start, stop in turns)
    found: Counter[str] = Counter()
    for y, times in _places(turns).items():
        before = min(length, -(first + y * stride) % _WORD)
        found["first bytes"] += times * before
        found["words"] += times * ((length - before) // _WORD)
        found["bytes"] += times * ((length - before) % _WORD)
    yield from found.items()


def _column_elements(call: KernelCall) -> int:
    """Return the bytes of the columns of a row."""
    start, stop = call.region.cols
    return (stop - start) * number(call, "col_elements")


def _places(spans: Iterable[Span]) -> Counter[int]:
    """Return how many indices of all spans there are, by what they are from a multiple of a word's bytes."""
    found: Counter[int] = Counter()
    for start, stop in spans:
        whole, rest = divmod(stop - start, _WORD)
        for place in range(_WORD):
            found[place] += whole + ((place - start) % _WORD < rest)
    return found


def _product(*places: Counter[int]) -> Iterator[tuple[tuple[int, int, int], int]]:
    rows, columns, images = places
    for y, of_y in rows.items():
        for x, of_x in columns.items():
            for n, of_n in images.items():
                if of_y and of_x and of_n:
                    yield (y, x, n), of_y * of_x * of_n


def _clipped(value: int, limit: int) -> int:
    return min(max(value, 0), limit)
