"""The schedule that a network is given: per layer, streamed or in patches, and in a sentence why."""

from __future__ import annotations

from services.common.errors import UnsupportedError
from services.compiler.ir.graph import Graph
from services.compiler.ir.planned_ops import PullRows
from services.compiler.ir.tensor import quoted
from services.compiler.options import CompileOptions, kernel_set
from services.compiler.planned import Planned, plan_network
from services.compiler.planner.kinds import RESERVED_BYTES, Choice, Wanted, in_lines, in_patches
from services.compiler.planner.stages import Pieces
from services.compiler.schedule.schedule import StageKind


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
    if room is not None and pulled:  # in order to need less
        room = min(room, whole.plan.arena_bytes)
    pieces, wanted = Pieces(whole, options.core), Wanted(whole, options, room, exact)
    kinds = (in_patches, in_lines) if options.schedule.startswith("patch") else (in_lines, in_patches)
    choice = kinds[0](pieces, wanted)
    arena = choice.planned.plan.arena_bytes
    auto_too_much = options.schedule == "auto" and room is not None and arena > room
    if auto_too_much or (pulled and options.patch_grid is None and arena > whole.plan.arena_bytes):
        choice = _lesser(choice, kinds[1](pieces, wanted), options)
    if pulled and not _pulls_in_turns(choice.planned):
        raise _held_whole(graph, options.schedule, choice.reason)
    return choice


def _each(whole: Planned, options: CompileOptions, *, exact: bool) -> tuple[Choice, ...]:
    found = [] if options.pull_input else [Choice(whole, "per-layer: as asked")]
    if not whole.graph.ops:
        return tuple(found)
    room = None if options.sram_budget_bytes is None else max(0, options.sram_budget_bytes - RESERVED_BYTES)
    pieces, wanted = Pieces(whole, options.core), Wanted(whole, options, room, exact)
    others = in_patches(pieces, wanted), in_lines(pieces, wanted)
    found += [choice for choice in others if choice.planned.kind is not StageKind.PER_LAYER]
    return tuple(choice for choice in found if not options.pull_input or _pulls_in_turns(choice.planned))


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
