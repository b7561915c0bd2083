"""Cuts of a network into pieces: the one that needs least memory, and the fastest within a limit.

Pieces follow one another, so the arena is that of the neediest one and time adds up: the best cut is found piece by
piece (dynamic programming). Of small networks also all cuts, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from services.compiler.stages import Piece, Pieces

_GROWTH, _HALVINGS = 1.2, 6


def least_memory(pieces: Pieces, start: int = 0) -> int:
    """Return the bytes of arena that the neediest piece from an operator on has in the cut where it has least, within a
    few thousandths.

    Long pieces need much: limits from below keep from looking at them.
    """
    low = high = 1.0 + min(pieces.need_bytes(pieces.single(op)) for op in range(start, len(pieces.graph.ops)))
    while (found := _neediest(pieces, high, start)) == inf:
        low, high = high, high * _GROWTH
    reached = high
    for _ in range(_HALVINGS):
        middle = (low + min(high, found)) / 2
        if (better := _neediest(pieces, middle, start)) == inf:
            low = middle
        else:
            high = found = better
            reached = middle
    # a limit as low as the need may look at fewer pieces than the limit that found them
    return int(found if _neediest(pieces, found, start) < inf else reached)


def _neediest(pieces: Pieces, limit_bytes: float, first: int) -> float:
    """Return the least that the neediest piece of any cut has, all of them within the limit; infinite if none is."""
    stop = len(pieces.graph.ops)
    best = [inf] * first + [0.0] + [inf] * (stop - first)
    for start in range(first, stop):
        if best[start] < inf:
            for piece in (pieces.single(start), *pieces.streamed(start, limit_bytes, rows=1)):
                need = pieces.need_bytes(piece)
                if need <= limit_bytes:
                    best[piece.stop] = min(best[piece.stop], max(best[start], need))
    return best[stop]


def fastest(pieces: Pieces, limit_bytes: float, first: int = 0) -> tuple[Piece, ...]:
    """Return the cut of fewest instructions whose pieces all keep to the limit; empty if there is none."""
    stop = len(pieces.graph.ops)
    best = [inf] * first + [0.0] + [inf] * (stop - first)
    came: list[Piece | None] = [None] * (stop + 1)
    for start in range(first, stop):
        if best[start] == inf:
            continue
        for piece in (pieces.single(start), *pieces.streamed(start, limit_bytes)):
            cost = best[start] + piece.instructions
            if pieces.need_bytes(piece) <= limit_bytes and cost < best[piece.stop]:
                best[piece.stop], came[piece.stop] = cost, piece
    found: list[Piece] = []
    while stop > first:
        if (last := came[stop]) is None:
            return ()
        found.append(last)
        stop = last.start
    return tuple(reversed(found))


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
