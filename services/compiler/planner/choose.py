"""The schedule that a network is given: which of its operators are streamed, and how many rows at a time.

Pieces follow one another, so the arena is that of the neediest one and time adds up: the best cut is found piece by
piece (dynamic programming). Two passes: the least memory that any cut needs, then the fastest cut within the limit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from services.common.errors import UnsupportedError
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import PullRows
from services.compiler.ir.tensor import quoted
from services.compiler.options import CompileOptions, kernel_set
from services.compiler.planned import Placed, Planned, plan_network
from services.compiler.planner.cuts import cuts_by_need, fastest
from services.compiler.planner.stages import PatchCut, Piece, Pieces
from services.compiler.schedule.patches import Grid, Patches, patches
from services.compiler.schedule.schedule import StageKind
from services.compiler.schedule.streaming import Stream

# What a library needs beside its arena, mostly stack: the arena's part of a budget is less by so much.
RESERVED_BYTES = 1024
_GRIDS = ((2, 1), (2, 2), (3, 1), (3, 3), (4, 1), (4, 4))
# How often a cut is replaced where its buffers do not lie as closely as they should, and by how many others tried.
_MOST_ROUNDS = 6
_MOST_BLAMED = 4
# Of networks of so few operators every cut is placed that could be the least, at most so many.
_FEW_OPERATORS, _MOST_CUTS = 12, 128


@dataclass(frozen=True, slots=True)
class Choice:
    """A plan, and in a sentence why it was chosen."""

    planned: Planned
    reason: str


def choose(graph: Graph, options: CompileOptions, *, exact: bool = True) -> Choice:
    """Return the plan that the options ask for; it never needs more memory than the operators one after the other,
    unless the input shall be pulled, which they cannot do, and nothing that can needs less.

    Per-layer: that. Streaming: fewest instructions within the budget of SRAM, least memory without one. Patch: fewest
    MACs within the budget, least memory without one; a grid that is named is used, wherever it can be. Auto:
    per-layer if that fits the budget, or the chip where there is none, else streaming within it. Where the input shall
    be pulled and what is found needs more than per-layer, the lesser of streaming and patches is returned.

    Raises UnsupportedError where the input shall be pulled and nothing is found that holds only a part of it.
    """
    return _chosen(plan_network(graph, kernel_set(options), exact=exact), options, exact=exact)


def choose_every(graph: Graph, options: CompileOptions, *, exact: bool = True) -> tuple[Choice, tuple[Choice, ...]]:
    """Return what `choose` does, and beside it per-layer, where the input need not be pulled, and what is found of
    patches and of streaming that is not the same: each at its least memory, or within the budget of SRAM.
    """
    whole = plan_network(graph, kernel_set(options), exact=exact)
    return _chosen(whole, options, exact=exact), _each(whole, options, exact=exact)


def _chosen(whole: Planned, options: CompileOptions, *, exact: bool) -> Choice:
    graph, pulled = whole.graph, options.pull_input
    if options.schedule == "per-layer":
        if pulled:
            raise _held_whole(graph, options.schedule)
        return Choice(whole, "per-layer: as asked")
    if not graph.ops:
        return Choice(whole, "per-layer: there is no operator to run")
    limit = options.sram_budget_bytes
    if options.schedule == "auto":
        limit = options.sram_bytes if limit is None else limit
        if limit is None and not pulled:
            return Choice(whole, "per-layer: no limit of memory was given")
        if limit is not None and not pulled and whole.plan.arena_bytes + RESERVED_BYTES <= limit:
            return Choice(whole, f"per-layer: it fits in {limit} bytes")
    room = None if limit is None else max(0, limit - RESERVED_BYTES)
    pieces = Pieces(whole, options.core)
    kinds = (_in_patches, _streamed) if options.schedule.startswith("patch") else (_streamed, _in_patches)
    choice = kinds[0](pieces, options, room, whole, exact=exact)
    if pulled and options.patch_grid is None and choice.planned.plan.arena_bytes > whole.plan.arena_bytes:
        choice = _less_pulled(choice, kinds[1](pieces, options, room, whole, exact=exact))
    if pulled and not _pulls_in_turns(choice.planned):
        raise _held_whole(graph, options.schedule)
    return choice


def _each(whole: Planned, options: CompileOptions, *, exact: bool) -> tuple[Choice, ...]:
    found = [] if options.pull_input else [Choice(whole, "per-layer: as asked")]
    if not whole.graph.ops:
        return tuple(found)
    room = None if options.sram_budget_bytes is None else max(0, options.sram_budget_bytes - RESERVED_BYTES)
    pieces = Pieces(whole, options.core)
    others = (
        _in_patches(pieces, options, room, whole, exact=exact),
        _streamed(pieces, options, room, whole, exact=exact),
    )
    found += [choice for choice in others if choice.planned.kind is not StageKind.PER_LAYER]
    return tuple(choice for choice in found if not options.pull_input or _pulls_in_turns(choice.planned))


def _streamed(pieces: Pieces, options: CompileOptions, room: int | None, whole: Planned, *, exact: bool) -> Choice:
    if room is not None and (found := _within(pieces, room)) is not None:
        planned = pieces.planner.plan(found.streams, exact=exact, known=found.placed)
        return Choice(planned, f"{_told(planned)}: fewest instructions in {room} bytes of arena")
    least = least_streams(pieces, exact=exact)
    if least is None or (least.arena_bytes >= whole.plan.arena_bytes and not options.pull_input):
        return Choice(whole, "per-layer: streaming saves no memory")
    planned = pieces.planner.plan(least.streams, exact=exact, known=least.placed, is_least=True)
    least_of = "least memory" if room is None else f"least memory, {room} bytes of arena are too few"
    return Choice(planned, f"{_told(planned)}: {least_of}; per-layer needs {whole.plan.arena_bytes} bytes of arena")


def _less_pulled(asked: Choice, other: Choice) -> Choice:
    """Return what pulls the input in less memory, where what was asked for needs more than to hold it whole."""
    if not _pulls_in_turns(other.planned) or other.planned.plan.arena_bytes >= asked.planned.plan.arena_bytes:
        return asked
    return Choice(other.planned, f"{other.reason}, what was asked for {asked.planned.plan.arena_bytes}")


def _pulls_in_turns(planned: Planned) -> bool:
    steps = (s for s in planned.schedule.steps() if isinstance(planned.graph.ops[s.op_index], PullRows))
    return any(step.extent is not None for step in steps)


def _held_whole(graph: Graph, schedule: str) -> UnsupportedError:
    return UnsupportedError(
        f"schedule {schedule!r} holds the input of {quoted(graph.name)} whole: only what takes turns can pull its rows",
        reason="CANNOT_PULL_INPUT",
        subject="schedule",
        value=schedule,
        allowed="streaming, patch, or auto, for a network whose first operators can be streamed",
    )


def _in_patches(pieces: Pieces, options: CompileOptions, room: int | None, whole: Planned, *, exact: bool) -> Choice:
    named = options.patch_grid
    best = best_patches(pieces, _GRIDS if named is None else (named,), room)
    if best is None:
        grid = "" if named is None else f"{named[0]}x{named[1]} "
        return Choice(whole, f"per-layer: the first operators cannot be cut into {grid}patches")
    planned = pieces.planner.plan_patches(best.patches, best.streams, exact=exact, known=best.placed)
    if named is None and planned.plan.arena_bytes >= whole.plan.arena_bytes and not options.pull_input:
        return Choice(whole, "per-layer: patches save no memory")
    rows, columns = best.patches.grid
    told = [
        f"layers 0-{best.patches.stop - 1} in {rows}x{columns} patches",
        *([_told(planned)] if best.streams else []),
    ]
    return Choice(planned, f"{', '.join(told)}: per-layer needs {whole.plan.arena_bytes} bytes of arena")


@dataclass(frozen=True, slots=True)
class PatchTrial:
    """Patches at the beginning and streamed stages behind them."""

    patches: Patches
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
    found = sorted(pieces.patched(grids, _MOST_BLAMED, room_bytes or 0), key=lambda cut: (cut.need_bytes, cut.macs))
    if room_bytes is not None:
        fitting = sorted((cut for cut in found if cut.need_bytes <= room_bytes), key=lambda cut: cut.macs)
        for cut in fitting[:_MOST_BLAMED]:
            trial = _patch_trial(pieces, cut)
            if trial.arena_bytes <= room_bytes:
                return trial
    best: PatchTrial | None = None
    for cut in found[:_MOST_BLAMED]:
        if best is None or _least_beside(pieces, cut) < best.arena_bytes:
            trial = _patch_trial(pieces, cut)
            best = trial if best is None or trial.arena_bytes < best.arena_bytes else best
    return best


def _least_beside(pieces: Pieces, cut: PatchCut) -> int:
    """Return the bytes that patches need at least where what follows is streamed."""
    return max(cut.own_bytes, pieces.least_memory(cut.stop)) if cut.need_bytes > cut.own_bytes else cut.own_bytes


def _patch_trial(pieces: Pieces, cut: PatchCut) -> PatchTrial:
    """Return the patches placed; what follows is streamed where it needs more than they do."""
    streams: tuple[Stream, ...] = ()
    if cut.need_bytes > cut.own_bytes:
        streams = _streams(pieces, fastest(pieces, _least_beside(pieces, cut), cut.stop))
    found = patches(pieces.graph, cut.stop, cut.grid)
    if found is None:
        raise AssertionError(f"patches that were priced: {cut}")
    return PatchTrial(found, streams, pieces.planner.place_patches(found, streams, exact=False))


def least_streams(pieces: Pieces, *, exact: bool = False) -> Trial | None:
    """Return the cut of least memory that was found, of few operators that of all; it may stream nothing."""
    trials = _Trials(pieces)
    found = _closest(pieces, lambda: pieces.least_memory(0), trials)
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


def _within(pieces: Pieces, room_bytes: int) -> Trial | None:
    """Return the fastest cut found whose arena keeps to the room; None if none does.

    Where its buffers do not lie as closely as their sizes promise, a cut for so much less room is tried.
    """
    limit, trials = room_bytes, _Trials(pieces, room_bytes)
    for _ in range(_MOST_ROUNDS):
        if (trial := trials.within(limit)) is None:
            break
        if trial.arena_bytes <= room_bytes:
            return trial
        limit -= trial.arena_bytes - room_bytes
    found = _closest(pieces, lambda: room_bytes, trials)
    return found if found is not None and found.arena_bytes <= room_bytes else None


def _closest(pieces: Pieces, limit: Callable[[], int], trials: _Trials) -> Trial | None:
    """Return the cut that is placed in least memory, the first within the limit; None if no cut keeps to it.

    Buffers do not always lie as closely as their sizes promise: outputs over inputs form chains. Then one piece is
    taken to need more, that with which the next cut is placed best.
    """
    wanted = limit()
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


class _Trials:
    """Places cuts, each once, at their least or in no more than `enough_bytes`."""

    def __init__(self, pieces: Pieces, enough_bytes: int = 0) -> None:
        self._pieces, self._enough_bytes = pieces, enough_bytes
        self._known: dict[tuple[Piece, ...], Trial] = {}

    def within(self, limit_bytes: int) -> Trial | None:
        """Return the fastest cut of which no piece needs more than the limit; its buffers may need more together."""
        cut = fastest(self._pieces, limit_bytes)
        return self.placed(cut) if cut else None

    def placed(self, cut: tuple[Piece, ...]) -> Trial:
        """Return a cut placed."""
        if cut not in self._known:
            streams = _streams(self._pieces, cut)
            placed = self._pieces.planner.place(streams, exact=False, enough_bytes=self._enough_bytes)
            self._known[cut] = Trial(cut, streams, placed)
        return self._known[cut]

    def without(self, piece: Piece, trial: Trial, limit: Callable[[], int], below: Trial) -> Trial | None:
        """Return the same where a piece is taken to need as much as the trial does; None if the limit is not below what
        another needs: then the cut cannot be.
        """
        before = self._pieces.need_bytes(piece)
        self._pieces.raise_need(piece, trial.arena_bytes)
        wanted = limit()
        other = self.within(wanted) if wanted < below.arena_bytes else None
        self._pieces.raise_need(piece, before)
        return other


def _streams(pieces: Pieces, cut: Sequence[Piece]) -> tuple[Stream, ...]:
    return tuple(stream for piece in cut if (stream := pieces.stream(piece)) is not None)


def _beyond(pieces: Pieces, trial: Trial, limit_bytes: int) -> list[Piece]:
    """Return the neediest pieces that reach beyond the limit."""
    reach = trial.reach()
    found = [piece for piece in trial.cut if any(reach[slot] > limit_bytes for slot in pieces.slots(piece))]
    return sorted(found, key=pieces.need_bytes, reverse=True)[:_MOST_BLAMED]


def _told(planned: Planned) -> str:
    """Return the stages in a few words."""
    stages, start = [], 0
    for stage in planned.schedule.stages:
        stop = start + len(stage.steps)
        if stage.kind is StageKind.STREAMING:
            rows = max(turn.region.row_stop - turn.region.row_start for turn in stage.turns)
            stages.append(f"layers {start}-{stop - 1} {rows} row{'s' if rows > 1 else ''} at a time")
        start = stop
    return f"streaming {', '.join(stages)}" if stages else "per-layer"
