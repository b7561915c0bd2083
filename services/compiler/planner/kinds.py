"""Plans of one kind, streamed or in patches: the best that is found for what is wanted, and in a sentence why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.compiler.cost.layer_cost import network_cost
from services.compiler.ir.graph import Graph
from services.compiler.options import CompileOptions
from services.compiler.planned import Planned
from services.compiler.planner.columns import pays, transposed
from services.compiler.planner.recomputed import with_images_made_again
from services.compiler.planner.stages import Pieces
from services.compiler.planner.trials import PatchTrial, Trial, Trials, best_patches, fastest_streams, least_streams
from services.compiler.schedule.patches import Grid, can_patch, converted_inputs
from services.compiler.schedule.schedule import StageKind

# What a library needs beside its arena, mostly stack: the arena's part of a budget is less by so much.
RESERVED_BYTES = 1024
_GRIDS = ((2, 1), (2, 2), (3, 1), (3, 3), (4, 1), (4, 4))
# Beside these where images are twice as wide as high, or more: halos are shortest where patches are cut across.
_WIDE_GRIDS = ((1, 2), (1, 3), (1, 4), (1, 8), (2, 4), (2, 8))


@dataclass(frozen=True, slots=True)
class Choice:
    """A plan, and in a sentence why it was chosen."""

    planned: Planned
    reason: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of a plan: what the options say, an arena within the `room`, less than the per-layer plan `whole`;
    gaps closed by the solver if `exact`.
    """

    whole: Planned
    options: CompileOptions
    room: int | None
    exact: bool


def in_lines(pieces: Pieces, wanted: Wanted) -> Choice:
    """Return the plan that streams by rows, or by columns where that is better."""
    rows = _streamed(pieces, wanted)
    if (other := transposed(wanted.whole)) is None:
        return rows
    core = wanted.options.core
    columns = _streamed(Pieces(other, core), wanted, line="column")
    return columns if pays(columns.planned, rows.planned, wanted.room, core) else rows


def in_patches(pieces: Pieces, wanted: Wanted) -> Choice:
    """Return the plan of which the beginning is cut into patches."""

    def plan(pieces: Pieces, exact: bool) -> Choice:
        return _on_grids(pieces, replace(wanted, exact=exact))

    core = wanted.options.core
    return with_images_made_again(pieces, core, wanted.room, plan, in_patches=True, exact=wanted.exact)


def _streamed(pieces: Pieces, wanted: Wanted, line: str = "row") -> Choice:
    def plan(pieces: Pieces, exact: bool) -> Choice:
        return _by_lines(pieces, replace(wanted, exact=exact), line)

    core = wanted.options.core
    return with_images_made_again(pieces, core, wanted.room, plan, in_patches=False, exact=wanted.exact)


def _by_lines(pieces: Pieces, wanted: Wanted, line: str) -> Choice:
    planner, room, whole_bytes = pieces.planner, wanted.room, wanted.whole.plan.arena_bytes
    trials = Trials(pieces, room or 0)
    if room is not None and (found := fastest_streams(trials)):
        return _fastest(pieces, wanted, line, room, found)
    least = least_streams(trials, exact=wanted.exact)
    if least is None or (least.arena_bytes >= whole_bytes and not wanted.options.pull_input):
        return Choice(wanted.whole, "per-layer: streaming saves no memory")
    planned = planner.plan(least.streams, exact=wanted.exact, known=least.placed, is_least=True)
    beside = f"per-layer needs {whole_bytes} bytes of arena"
    return Choice(planned, f"{_told(planned, line)}: {_least_memory(room)}; {beside}")


def _fastest(pieces: Pieces, wanted: Wanted, line: str, room: int, found: Sequence[Trial]) -> Choice:
    """Return the fastest plan of these, and of per-layer where that fits, with what scratch the room has left.

    Which it is is decided without the solver, so that estimates decide the same. Scratch makes no plan larger than
    per-layer.
    """
    for_scratch = min(room, wanted.whole.plan.arena_bytes)

    def plan(trial: Trial, exact: bool) -> Planned:
        return pieces.planner.plan(trial.streams, exact=exact, known=trial.placed, room_bytes=for_scratch)

    def instructions(planned: Planned) -> float:
        return network_cost(planned, wanted.options.core).instructions

    plans = [(plan(trial, False), trial) for trial in found]
    best, trial = min(plans, key=lambda planned: instructions(planned[0]))
    per_layer_fits = wanted.whole.plan.arena_bytes <= room and not wanted.options.pull_input
    if per_layer_fits and instructions(wanted.whole) <= instructions(best):
        return Choice(wanted.whole, f"per-layer: fewest instructions in {room} bytes of arena")
    best = plan(trial, True) if wanted.exact else best
    return Choice(best, f"{_told(best, line)}: fewest instructions in {room} bytes of arena")


def _on_grids(pieces: Pieces, wanted: Wanted) -> Choice:
    whole, named, room = wanted.whole, wanted.options.patch_grid, wanted.room
    best = best_patches(pieces, _grids(pieces.graph) if named is None else (named,), room)
    if best is None:
        grid = "" if named is None else f"{named[0]}x{named[1]} "
        return Choice(whole, f"per-layer: the first operators cannot be cut into {grid}patches: {_uncut(pieces.graph)}")
    planned = pieces.planner.plan_patches(
        best.patches,
        best.streams,
        exact=wanted.exact,
        known=best.placed,
        room_bytes=min(room or 0, whole.plan.arena_bytes),
    )
    if named is None and planned.plan.arena_bytes >= whole.plan.arena_bytes and not wanted.options.pull_input:
        return Choice(whole, "per-layer: patches save no memory")
    fits = room is not None and planned.plan.arena_bytes <= room
    why = f"fewest MACs in {room} bytes of arena" if fits else _least_memory(room)
    beside = f"per-layer needs {whole.plan.arena_bytes} bytes of arena"
    return Choice(planned, f"{_told_patches(best, planned)}: {why}{' with that grid' if named else ''}; {beside}")


def _told_patches(trial: PatchTrial, planned: Planned) -> str:
    rows, columns = trial.patches[0].grid
    layers = " and ".join(f"{stage.start}-{stage.stop - 1}" for stage in trial.patches)
    streams = [_told(planned)] if trial.streams else []
    return ", ".join([f"layers {layers} in {rows}x{columns} patches", *streams])


def _grids(graph: Graph) -> tuple[Grid, ...]:
    shape = graph.tensors[graph.ops[0].output].shape
    is_wide = len(shape) == 4 and shape[2] >= 2 * shape[1]
    return (*_GRIDS, *_WIDE_GRIDS) if is_wide else _GRIDS


def _least_memory(room: int | None) -> str:
    if room is None:
        return "least memory"
    return f"least memory, {room} bytes of arena are too few ({RESERVED_BYTES} of the limit are left for the stack)"


def _uncut(graph: Graph) -> str:
    """Return why no patches were found: the operator at which they end, or that images are smaller than grids."""
    first = converted_inputs(graph)
    for index, op in enumerate(graph.ops[first : first + 2], first):
        if not can_patch(graph, op):
            return f"operator {index}, {op.kind}, does not run on parts of an image"
    return "their outputs have fewer rows or columns" if len(graph.ops) > first + 1 else "there is only one operator"


def _told(planned: Planned, line: str = "row") -> str:
    """Return the stages in a few words; a `line` of images is what operators make at a turn."""
    stages, start = [], 0
    for stage in planned.schedule.stages:
        stop = start + len(stage.steps)
        if stage.kind is StageKind.STREAMING:
            rows = max(turn.region.row_stop - turn.region.row_start for turn in stage.turns)
            stages.append(f"layers {start}-{stop - 1} {rows} {line}{'s' if rows > 1 else ''} at a time")
        start = stop
    return f"streaming {', '.join(stages)}" if stages else "per-layer, less scratch"
