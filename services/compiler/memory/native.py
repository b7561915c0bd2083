"""The search for offsets, which is in C (core/) and built for this machine when it is first asked for.

Sizes, offsets and extents are in units of `BUFFER_ALIGN` bytes, and in the order of the ranges.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from services.common.host_compiler import build_cached_library
from services.common.settings import Settings
from services.compiler.memory.live_range import LiveRange
from services.compiler.memory.overlap import OverlapRule

_CORE = Path(__file__).parent / "core"
# By their numbers in core/search.h; the last is -1 there: every buffer is easy to place.
_ORDERS = (
    "greedy by size",
    "greedy by birth",
    "greedy by death",
    "greedy by area",
    "greedy by lifetime",
    "in time",
    "backward in time",
    "greedy",
)


@dataclass(frozen=True, slots=True)
class Placement:
    """Offsets, how far they reach, how they were found, and what no arena can be smaller than."""

    algorithm: str
    offsets: Sequence[int]
    extent: int
    bound: int


def search(ranges: Sequence[LiveRange], rules: Sequence[OverlapRule], enough: int) -> Placement:
    """Return the best placement found, or the first that reaches no farther than `enough` or the bound."""
    plan, offsets = _numbers(3), _numbers(len(ranges))
    _call(_core().plan_arena, ranges, rules, enough, plan, offsets)
    bound, extent, order = plan
    return Placement(_ORDERS[order], offsets, extent, bound)


def step_needs(ranges: Sequence[LiveRange], rules: Sequence[OverlapRule]) -> Sequence[int]:
    """Return what every step needs: what lives there, less the most that overlaps let it share.

    A target shares no more than its own size with all its sources together, and so does a source with its targets.
    """
    needs = _numbers(max((r.last for r in ranges), default=0) + 1)
    _call(_core().arena_needs, ranges, rules, needs)
    return needs


def hard_groups(ranges: Sequence[LiveRange], rules: Sequence[OverlapRule], extent: int) -> Sequence[int]:
    """Return by buffer a number for each group that shares moments and is hard to place; -1 for a buffer that finds a
    hole below the extent whatever those do.
    """
    groups = _numbers(len(ranges))
    _call(_core().hard_groups, ranges, rules, extent, groups)
    return groups


def with_easy_placed(
    ranges: Sequence[LiveRange], rules: Sequence[OverlapRule], extent: int, offsets: Sequence[int]
) -> Sequence[int]:
    """Return the offsets with those of buffers that are easy to place below the extent found again."""
    found = array("q", offsets)
    _call(_core().place_easy, ranges, rules, extent, found)
    return found


@cache
def _core() -> ctypes.CDLL:
    sources = tuple(sorted(_CORE.glob("*.c")))
    core = ctypes.CDLL(str(build_cached_library(Settings().cache.expanduser() / "compiler", sources)))
    problem: tuple[Any, ...] = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)
    for function, more in (
        (core.plan_arena, (ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)),
        (core.arena_needs, (ctypes.c_void_p,)),
        (core.hard_groups, (ctypes.c_int64, ctypes.c_void_p)),
        (core.place_easy, (ctypes.c_int64, ctypes.c_void_p)),
    ):
        function.argtypes, function.restype = [*problem, *more], None
    return core


def _call(
    function: ctypes._NamedFuncPointer,
    ranges: Sequence[LiveRange],
    rules: Sequence[OverlapRule],
    *more: int | array[int],
) -> None:
    """Call a function with the problem as rows of numbers; arrays are passed by their addresses."""
    rows, rule_rows = array("q", chain.from_iterable(ranges)), array("q", chain.from_iterable(rules))
    rest = [value.buffer_info()[0] if isinstance(value, array) else value for value in more]
    function(rows.buffer_info()[0], len(ranges), rule_rows.buffer_info()[0], len(rules), *rest)


def _numbers(count: int) -> array[int]:
    return array("q", bytes(8 * count))
