"""The schedule that a network is given: per layer, streamed or in patches, and in a sentence why."""

from __future__ import annotations

from dataclasses import dataclass

from services.common.errors import UnsupportedError
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import PullRows
from services.compiler.ir.tensor import quoted
from services.compiler.options import CompileOptions, kernel_set
from services.compiler.planned import Planned, plan_network
from services.compiler.planner.columns import pays, transposed
from services.compiler.planner.recomputed import with_images_made_again
from services.compiler.planner.stages import Pieces
from services.compiler.planner.trials import best_patches, fastest_streams, least_streams
from services.compiler.schedule.patches import Grid, can_patch
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


def choose(graph: Graph, options: CompileOptions, *, exact: bool = True) -> Choice:
    """Return the plan that the options ask for; it never needs more memory than the operators one after the other,
    unless the input shall be pulled, which they cannot do, and nothing that can needs less.

    Per-layer: that. Streaming: fewest instructions within the budget of SRAM, least memory without one. Patch: fewest
    MACs within the budget, least memory without one; a grid that is named is used, wherever it can be. Auto:
    per-layer if that fits the budget, or the chip where there is none, else streaming within it; where that needs more,
    the lesser of streaming and patches. So, too, where the input shall be pulled and what is found needs more than
    per-layer.

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
            raise _held_whole(graph, options.schedule, "every tensor is")
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
    kinds = (_in_patches, _in_lines) if options.schedule.startswith("patch") else (_in_lines, _in_patches)
    choice = kinds[0](pieces, options, room, whole, exact=exact)
    arena = choice.planned.plan.arena_bytes
    auto_too_much = options.schedule == "auto" and room is not None and arena > room
    if auto_too_much or (pulled and options.patch_grid is None and arena > whole.plan.arena_bytes):
        choice = _lesser(choice, kinds[1](pieces, options, room, whole, exact=exact), options)
    if pulled and not _pulls_in_turns(choice.planned):
        raise _held_whole(graph, options.schedule, choice.reason)
    return choice


def _each(whole: Planned, options: CompileOptions, *, exact: bool) -> tuple[Choice, ...]:
    found = [] if options.pull_input else [Choice(whole, "per-layer: as asked")]
    if not whole.graph.ops:
        return tuple(found)
    room = None if options.sram_budget_bytes is None else max(0, options.sram_budget_bytes - RESERVED_BYTES)
    pieces = Pieces(whole, options.core)
    others = (
        _in_patches(pieces, options, room, whole, exact=exact),
        _in_lines(pieces, options, room, whole, exact=exact),
    )
    found += [choice for choice in others if choice.planned.kind is not StageKind.PER_LAYER]
    return tuple(choice for choice in found if not options.pull_input or _pulls_in_turns(choice.planned))


def _in_lines(pieces: Pieces, options: CompileOptions, room: int | None, whole: Planned, *, exact: bool) -> Choice:
    """Return the plan that streams by rows, or by columns where that is better."""
    rows = _streamed(pieces, options, room, whole, exact=exact)
    if (other := transposed(whole)) is None:
        return rows
    columns = _streamed(Pieces(other, options.core), options, room, whole, exact=exact, line="column")
    return columns if pays(columns.planned, rows.planned, room, options.core) else rows


def _streamed(
    pieces: Pieces, options: CompileOptions, room: int | None, whole: Planned, *, exact: bool, line: str = "row"
) -> Choice:
    def plan(pieces: Pieces, exact: bool) -> Choice:
        return _by_lines(pieces, options, room, whole, exact=exact, line=line)

    return with_images_made_again(pieces, options.core, room, plan, in_patches=False, exact=exact)


def _in_patches(pieces: Pieces, options: CompileOptions, room: int | None, whole: Planned, *, exact: bool) -> Choice:
    def plan(pieces: Pieces, exact: bool) -> Choice:
        return _on_grids(pieces, options, room, whole, exact=exact)

    return with_images_made_again(pieces, options.core, room, plan, in_patches=True, exact=exact)


def _by_lines(
    pieces: Pieces, options: CompileOptions, room: int | None, whole: Planned, *, exact: bool, line: str
) -> Choice:
    if room is not None and (found := fastest_streams(pieces, room)) is not None:
        planned = pieces.planner.plan(found.streams, exact=exact, known=found.placed)
        return Choice(planned, f"{_told(planned, line)}: fewest instructions in {room} bytes of arena")
    least = least_streams(pieces, exact=exact)
    if least is None or (least.arena_bytes >= whole.plan.arena_bytes and not options.pull_input):
        return Choice(whole, "per-layer: streaming saves no memory")
    planned = pieces.planner.plan(least.streams, exact=exact, known=least.placed, is_least=True)
    beside = f"per-layer needs {whole.plan.arena_bytes} bytes of arena"
    return Choice(planned, f"{_told(planned, line)}: {_least_memory(room)}; {beside}")


def _lesser(first: Choice, other: Choice, options: CompileOptions) -> Choice:
    """Return what needs less memory, of what pulls the input where it shall be pulled."""
    can_be = _pulls_in_turns(other.planned) or not options.pull_input
    if not can_be or other.planned.plan.arena_bytes >= first.planned.plan.arena_bytes:
        return first
    if first.planned.kind is StageKind.PER_LAYER:
        return other
    name = first.planned.kind.value if options.schedule == "auto" else "what was asked for"
    return Choice(other.planned, f"{other.reason}, {name} {first.planned.plan.arena_bytes}")


def _pulls_in_turns(planned: Planned) -> bool:
    steps = (s for s in planned.schedule.steps() if isinstance(planned.graph.ops[s.op_index], PullRows))
    return any(step.extent is not None for step in steps)


def _held_whole(graph: Graph, schedule: str, why: str) -> UnsupportedError:
    return UnsupportedError(
        f"schedule {schedule!r} holds the input of {quoted(graph.name)} whole ({why}): only what takes turns can pull "
        "its rows",
        reason="CANNOT_PULL_INPUT",
        subject="schedule",
        value=schedule,
        allowed="streaming, patch, or auto, for a network whose first operators can be streamed",
    )


def _on_grids(pieces: Pieces, options: CompileOptions, room: int | None, whole: Planned, *, exact: bool) -> Choice:
    named = options.patch_grid
    best = best_patches(pieces, _grids(pieces.graph) if named is None else (named,), room)
    if best is None:
        grid = "" if named is None else f"{named[0]}x{named[1]} "
        return Choice(whole, f"per-layer: the first operators cannot be cut into {grid}patches: {_uncut(pieces.graph)}")
    planned = pieces.planner.plan_patches(best.patches, best.streams, exact=exact, known=best.placed)
    if named is None and planned.plan.arena_bytes >= whole.plan.arena_bytes and not options.pull_input:
        return Choice(whole, "per-layer: patches save no memory")
    rows, columns = best.patches[0].grid
    layers = " and ".join(f"{stage.start}-{stage.stop - 1}" for stage in best.patches)
    told = [
        f"layers {layers} in {rows}x{columns} patches",
        *([_told(planned)] if best.streams else []),
    ]
    fits = room is not None and planned.plan.arena_bytes <= room
    why = f"fewest MACs in {room} bytes of arena" if fits else _least_memory(room)
    beside = f"per-layer needs {whole.plan.arena_bytes} bytes of arena"
    return Choice(planned, f"{', '.join(told)}: {why}{' with that grid' if named else ''}; {beside}")


def _grids(graph: Graph) -> tuple[Grid, ...]:
    shape = graph.tensors[graph.ops[0].output].shape
    is_wide = len(shape) == 4 and shape[2] >= 2 * shape[1]
    return (*_GRIDS, *_WIDE_GRIDS) if is_wide else _GRIDS


def _least_memory(room: int | None) -> str:
    return "least memory" if room is None else f"least memory, {room} bytes of arena are too few"


def _uncut(graph: Graph) -> str:
    """Return why no patches were found: the operator at which they end, or that images are smaller than grids."""
    for index, op in enumerate(graph.ops[:2]):
        if not can_patch(graph, op):
            return f"operator {index}, {op.kind}, does not run on parts of an image"
    return "their outputs have fewer rows or columns" if len(graph.ops) > 1 else "there is only one operator"


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
