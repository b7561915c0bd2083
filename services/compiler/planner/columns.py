"""Streaming by columns: the transposed network beside the one that the planner was given."""

from __future__ import annotations

from services.compiler.cost.layer_cost import network_cost
from services.compiler.options import Core
from services.compiler.passes.by_columns import by_columns
from services.compiler.planned import Planned, plan_network
from services.compiler.schedule.schedule import StageKind


def transposed(whole: Planned) -> Planned | None:
    """Return the per-layer plan of the network by columns; None if nothing of it works on images wider than high."""
    graph = by_columns(whole.graph)
    return None if graph is None else plan_network(graph, whole.kernels, exact=False)


def pays(columns: Planned, rows: Planned, room_bytes: int | None, core: Core) -> bool:
    """Whether a plan by columns is to be taken: within the room that of fewer instructions, else that of less memory.

    Only what streams: nothing else is won by columns.
    """
    if columns.kind is not StageKind.STREAMING:
        return False
    arenas = columns.plan.arena_bytes, rows.plan.arena_bytes
    if room_bytes is None or max(arenas) > room_bytes:
        return arenas[0] < arenas[1]
    return network_cost(columns, core).instructions < network_cost(rows, core).instructions
