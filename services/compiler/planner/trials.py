"""Cuts of a network as they are placed in memory: the fastest within a room, and the least.

Pieces follow one another, so the arena is that of the neediest one, and time adds up (cuts.py). But that is what sizes
promise: where buffers do not lie as closely, another cut is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from services.compiler.planned import Placed
from services.compiler.planner.cuts import cuts_by_need, fastest
from services.compiler.planner.stages import PatchCut, Piece, Pieces
from services.compiler.schedule.patches import Grid, Patches, patches
from services.compiler.schedule.streaming import Stream

# How often a cut is replaced where its buffers do not lie as closely as they should, and by how many others tried.
_MOST_ROUNDS = 6
_MOST_BLAMED = 4
# The share of a room that leaves some of it for scratch.
_THRIFTY = 7 / 8
# How often the room between a cut that keeps to it and one that does not is halved.
_HALVINGS = 3
# Of networks of so few operators every cut is placed that could be the least, at most so many.
_FEW_OPERATORS, _MOST_CUTS = 12, 128


@dataclass(frozen=True, slots=True)
class Trial:
    """A cut as it was placed in memory."""

    cut: tuple[Piece, ...]
    streams: tuple[Stream, ...]
    placed: Placed

    @property
    def arena_bytes(self) -> int:
        """The bytes of arena that it needs."""
        return self.placed[2].arena_bytes

    def reach(self) -> list[int]:
        """Return how far the buffers reach that live at every step."""
        _, ranges, plan = self.placed
        found = [0] * (max((r.last for r in ranges), default=0) + 1)
        for r in ranges:
            end = plan.offsets[r.buffer] + r.size_bytes
            for step in range(r.first, r.last + 1):
                found[step] = max(found[step], end)
        return found


def fastest_streams(trials: Trials) -> tuple[Trial, ...]:
    """Return the fastest cut found whose arena keeps to the room, and beside it one that leaves more of the room for
    scratch, which can make it the faster one; empty if none is found.

    Where buffers do not lie as closely as their sizes promise, a cut for so much less room is tried, and then for more
    again by halves; where none keeps to it, others of which a piece is taken to need more, and those of least memory.
    """
    room, pieces = trials.room_bytes, trials.pieces
    limit = failed = room
    for _ in range(_MOST_ROUNDS):
        trial = trials.within(limit)
        if trial is None or trial.arena_bytes <= room:
            break
        failed, limit = limit, limit - (trial.arena_bytes - room)
    if trials.fastest() is None:
        _closest(lambda: room, trials)
    if trials.fastest() is None:
        _closest(lambda: pieces.least_memory(0), trials)
    for _ in range(_HALVINGS if limit < failed else 0):
        between = (limit + failed) // 2
        trial = trials.within(between)
        fits = trial is not None and trial.arena_bytes <= room
        limit, failed = (between, failed) if fits else (limit, between)
    if (fastest := trials.fastest()) is None:
        return ()
    thrifty = trials.within(int(room * _THRIFTY))
    return (fastest,) if thrifty is None or thrifty is fastest or thrifty.arena_bytes > room else (fastest, thrifty)


def least_streams(trials: Trials, *, exact: bool = False) -> Trial | None:
    """Return the cut of least memory that was found, of few operators that of all; it may stream nothing."""
    pieces = trials.pieces
    found = _closest(lambda: pieces.least_memory(0), trials)
    if found is None or len(pieces.graph.ops) > _FEW_OPERATORS:
        return found
    best = _placed_again(pieces, found) if exact else found
    for need, cut in cuts_by_need(pieces, best.arena_bytes)[:_MOST_CUTS]:
        if need >= best.arena_bytes:
            break
        trial = trials.placed(cut)
        if exact and trial.arena_bytes > need:
            trial = _placed_again(pieces, trial)
        best = min(best, trial, key=lambda t: t.arena_bytes)
    return best


@dataclass(frozen=True, slots=True)
class PatchTrial:
    """Stages in patches at the beginning and streamed ones behind them."""

    patches: tuple[Patches, ...]
    streams: tuple[Stream, ...]
    placed: Placed

    @property
    def arena_bytes(self) -> int:
        """The bytes of arena that it needs."""
        return self.placed[2].arena_bytes


def best_patches(pieces: Pieces, grids: Sequence[Grid], room_bytes: int | None = None) -> PatchTrial | None:
    """Return the patches of fewest MACs within the room, of least memory where there is none or nothing keeps to it;
    None if no operator can be cut.
    """
    cuts = ((_promised(pieces, cut), cut) for cut in pieces.patched(grids, _MOST_BLAMED, room_bytes or 0))
    found = sorted(cuts, key=lambda promised: (promised[0], promised[1].macs))
    if room_bytes is not None:
        fitting = sorted((cut for need, cut in found if need <= room_bytes), key=lambda cut: cut.macs)
        for cut in fitting[:_MOST_BLAMED]:
            trial = _patch_trial(pieces, cut)
            if trial.arena_bytes <= room_bytes:
                return trial
    best: PatchTrial | None = None
    for _, cut in found[:_MOST_BLAMED]:
        if best is None or _least_beside(pieces, cut) < best.arena_bytes:
            trial = _patch_trial(pieces, cut)
            best = trial if best is None or trial.arena_bytes < best.arena_bytes else best
    return best


def _promised(pieces: Pieces, cut: PatchCut) -> int:
    """Return the bytes by which cuts are ranked: what they need per layer behind the patches, or if images are made
    again there, which is nothing to be done per layer, streamed.
    """
    return _least_beside(pieces, cut) if cut.makes_again else cut.need_bytes


def _least_beside(pieces: Pieces, cut: PatchCut) -> int:
    """Return the bytes that patches need at least where what follows is streamed."""
    return max(cut.own_bytes, pieces.least_memory(cut.stop)) if cut.need_bytes > cut.own_bytes else cut.own_bytes


def _patch_trial(pieces: Pieces, cut: PatchCut) -> PatchTrial:
    """Return the patches placed; what follows is streamed where it needs more than they do."""
    streams: tuple[Stream, ...] = ()
    if cut.need_bytes > cut.own_bytes:
        streams = _streams(pieces, fastest(pieces, _least_beside(pieces, cut), cut.stop))
    found = tuple(p for start, stop in cut.stages if (p := patches(pieces.graph, stop, cut.grid, start)) is not None)
    if len(found) < len(cut.stages):
        raise AssertionError(f"patches that were priced: {cut}")
    return PatchTrial(found, streams, pieces.planner.place_patches(found, streams, exact=False))


def _closest(limit: Callable[[], int], trials: Trials) -> Trial | None:
    """Return the cut that is placed in least memory, the first within the limit; None if no cut keeps to it.

    Buffers do not always lie as closely as their sizes promise: outputs over inputs form chains. Then one piece is
    taken to need more, that with which the next cut is placed best.
    """
    pieces, wanted = trials.pieces, limit()
    best = trial = trials.within(wanted)
    for _ in range(_MOST_ROUNDS):
        if trial is None or best is None or trial.arena_bytes <= wanted:
            break
        blamed, other = None, None
        for piece in _beyond(pieces, trial, wanted):
            found = trials.without(piece, trial, limit, below=best if other is None else other)
            if found is not None and (other is None or found.arena_bytes < other.arena_bytes):
                blamed, other = piece, found
        if blamed is None or other is None:
            break
        pieces.raise_need(blamed, trial.arena_bytes)
        trial, wanted = other, limit()
        best = min(best, trial, key=lambda t: t.arena_bytes)
    return best


def _placed_again(pieces: Pieces, trial: Trial) -> Trial:
    """Return the trial as the exact solver places it, which may be closer."""
    return replace(trial, placed=pieces.planner.place(trial.streams, exact=True))


class Trials:
    """Places cuts of pieces, each once, in no more than `room_bytes` or at their least."""

    def __init__(self, pieces: Pieces, room_bytes: int = 0) -> None:
        self.pieces, self.room_bytes = pieces, room_bytes
        self._known: dict[tuple[Piece, ...], Trial] = {}

    def within(self, limit_bytes: int) -> Trial | None:
        """Return the fastest cut of which no piece needs more than the limit; its buffers may need more together."""
        cut = fastest(self.pieces, limit_bytes)
        return self.placed(cut) if cut else None

    def fastest(self) -> Trial | None:
        """Return the fastest of the cuts placed that keep to the room; None if none does."""
        fitting = (trial for trial in self._known.values() if trial.arena_bytes <= self.room_bytes)
        return min(fitting, key=lambda trial: sum(piece.instructions for piece in trial.cut), default=None)

    def placed(self, cut: tuple[Piece, ...]) -> Trial:
        """Return a cut placed."""
        if cut not in self._known:
            streams = _streams(self.pieces, cut)
            placed = self.pieces.planner.place(streams, exact=False, enough_bytes=self.room_bytes)
            self._known[cut] = Trial(cut, streams, placed)
        return self._known[cut]

    def without(self, piece: Piece, trial: Trial, limit: Callable[[], int], below: Trial) -> Trial | None:
        """Return the same where a piece is taken to need as much as the trial does; None if the limit is not below what
        another needs: then the cut cannot be.
        """
        before = self.pieces.need_bytes(piece)
        self.pieces.raise_need(piece, trial.arena_bytes)
        wanted = limit()
        other = self.within(wanted) if wanted < below.arena_bytes else None
        self.pieces.raise_need(piece, before)
        return other


def _streams(pieces: Pieces, cut: Sequence[Piece]) -> tuple[Stream, ...]:
    return tuple(stream for piece in cut if (stream := pieces.stream(piece)) is not None)


def _beyond(pieces: Pieces, trial: Trial, limit_bytes: int) -> list[Piece]:
    """Return the neediest pieces that reach beyond the limit."""
    reach = trial.reach()
    found = [piece for piece in trial.cut if any(reach[slot] > limit_bytes for slot in pieces.slots(piece))]
    return sorted(found, key=pieces.need_bytes, reverse=True)[:_MOST_BLAMED]
