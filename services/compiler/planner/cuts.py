"""Cuts of a network into pieces: the fastest within a limit of memory, and of small networks all of them.

Pieces follow one another, so time adds up: the best cut is the shortest path from the first operator to the end. What
streamed pieces need is asked for only where a bound on it and their cost let them be on that path.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush

from services.compiler.planner.stages import Piece, Pieces

# in place of the place of its rows: a piece is not streamed
_SINGLE = -1
_Edge = tuple[float, int, int, int]  # instructions, where a piece stops, where it starts, place of its rows by cost


def fastest(pieces: Pieces, limit_bytes: float, first: int = 0) -> tuple[Piece, ...]:
    """Return the cut of fewest instructions whose pieces all keep to the limit; empty if there is none.

    To stream what keeps to it alone gains nothing; what does not fit row by row does not with more rows.
    """
    needy, end = pieces.needy(limit_bytes), len(pieces.graph.ops)
    costs, came = {first: 0.0}, dict[int, Piece]()
    queue: list[_Edge] = []
    stop = first
    while stop != end:
        if pieces.need_bytes(pieces.single(stop)) <= limit_bytes:
            heappush(queue, (costs[stop] + pieces.single(stop).instructions, stop + 1, stop, _SINGLE))
        for after in pieces.stops_within(stop, limit_bytes):
            if needy[after] > needy[stop]:
                heappush(queue, (costs[stop] + pieces.by_cost(stop, after)[0][0], after, stop, 0))
        if (reached := _settle(pieces, limit_bytes, queue, costs, came)) is None:
            return ()
        stop = reached
    found: list[Piece] = []
    while stop != first:
        found.append(came[stop])
        stop = came[stop].start
    return tuple(reversed(found))


def _settle(
    pieces: Pieces, limit_bytes: float, queue: list[_Edge], costs: dict[int, float], came: dict[int, Piece]
) -> int | None:
    """Return the next place that the cheapest piece leads to which keeps to the limit; None if none is left."""
    while queue:
        cost, stop, start, place = heappop(queue)
        if stop in costs:
            continue
        if place == _SINGLE:
            piece = pieces.single(start)
        else:
            if place == 0 and pieces.streamed(start, stop, 1).need_bytes > limit_bytes:
                continue
            options = pieces.by_cost(start, stop)
            piece = pieces.streamed(start, stop, options[place][1])
            if pieces.need_bytes(piece) > limit_bytes:
                if place + 1 < len(options):
                    heappush(queue, (costs[start] + options[place + 1][0], stop, start, place + 1))
                continue
        costs[stop], came[stop] = cost, piece
        return stop
    return None


def cuts_by_need(pieces: Pieces, below_bytes: int) -> list[tuple[int, tuple[Piece, ...]]]:
    """Return all cuts, streamed a row at a time, whose pieces' sizes alone need less, least first, and that need."""
    return sorted(_cuts(pieces, below_bytes, 0), key=lambda cut: cut[0])


def _cuts(pieces: Pieces, below_bytes: int, start: int) -> Iterator[tuple[int, tuple[Piece, ...]]]:
    if start == len(pieces.graph.ops):
        yield 0, ()
        return
    for piece in (pieces.single(start), *pieces.streamed_from(start)):
        if piece.need_bytes < below_bytes:
            for need, rest in _cuts(pieces, below_bytes, piece.stop):
                yield max(need, piece.need_bytes), (piece, *rest)
