"""What the code around kernels grows with: functions of layers and stages, kernel calls, pointers, rings and patches.

A function of a layer that runs whole passes constants. One that takes turns makes its region, finds where the rings
of rows that it uses begin (a division where they do not have a power of two of rows), and where patches would.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from services.compiler.codegen.program import ArenaRef, Layer
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Op
from services.compiler.ir.planned_ops import PullRows
from services.compiler.schedule.rows import window
from services.compiler.schedule.schedule import Buffer, BufferId, Schedule, Stage, Step

# The function of the kernels' header that divides: what it links beyond a kernel's stands in tables by this name. Rows
# of an output have 16 bits, which compilers divide by a constant with a multiplication; those of an input that is read
# in steps have more, and a core without a wide multiplication calls its runtime.
RING, WIDE_DIVISIONS = "tf_ring", "wide ring divisions"


Glue = Mapping[str, int]


def layer_glue(layer: Layer) -> Glue:
    """Return the counts that a layer's calls tell; the function of one that pulls calls the caller alone."""
    if layer.pulls is not None:
        return {}
    pointers = [p for call in layer.calls for p in call.pointers]
    if layer.in_turns:
        kind = layer.kind.value
        return {f"{kind} layers": 1, f"{kind} calls": len(layer.calls), f"{kind} pointers": len(pointers)}
    arena = sum([isinstance(p, ArenaRef) for p in pointers])
    return {"layers": 1, "calls": len(layer.calls), "pointers": arena}


def network_glue(graph: Graph, schedule: Schedule, layers: Iterable[Glue]) -> Glue:
    """Return the counts of a network whose layers have these by themselves."""
    total = {"network": 1}
    for counts in chain(layers, _of_stages(graph, schedule)):
        for name, count in counts.items():
            total[name] = total.get(name, 0) + count
    return total


def _of_stages(graph: Graph, schedule: Schedule) -> Iterator[Glue]:
    buffers = {b.id: b for b in schedule.buffers}
    for stage in schedule.stages:
        if stage.turns:
            yield stage_glue(graph, stage)
            for step in stage.steps:
                yield turn_glue(graph, step, buffers)


def stage_glue(graph: Graph, stage: Stage) -> Glue:
    """Return the counts of the loop over turns: in patches a call a layer, streamed a case of a switch."""
    pulls = sum([isinstance(graph.ops[step.op_index], PullRows) for step in stage.steps])
    kind = stage.kind.value
    return {f"{kind} stages": 1, f"{kind} steps": len(stage.steps), f"{kind} pulls": pulls}


def turn_glue(graph: Graph, step: Step, buffers: Mapping[BufferId, Buffer]) -> Glue:
    """Return the counts of a layer in turns that its buffers tell, those that hold a part of a tensor.

    What two pointers need is worked out once: the first row of rings, and of so many rows the division.
    """
    op = graph.ops[step.op_index]
    if isinstance(op, PullRows):
        return {}
    held = [buffers[b] for b in (*step.reads, *step.writes)]
    if patches := sum([b.columns is not None for b in held]):
        return {"patches": patches}
    rings = [ring for b in held if b.rows is not None and (ring := _ring(graph, op, b, b.rows)) is not None]
    divisions = {(rows, first) for rows, first, _ in rings if rows & (rows - 1)}
    return {
        "rings": len(rings),
        "ring divisions": len(divisions),
        WIDE_DIVISIONS: sum([stride > 1 for _, (stride, _) in divisions]),
        "first rows": len({first for _, first, _ in rings} - {_OWN}),
        "ring ends": sum([slides for _, _, slides in rings]),
    }


_OWN = 1, 0  # an output's first row is the turn's
# how many rows there are; stride and offset of the first one that a turn touches; whether a window slides over them
_Ring = tuple[int, tuple[int, int], bool]


def _ring(graph: Graph, op: Op, buffer: Buffer, rows: int) -> _Ring | None:
    """Return a ring of rows as an operator uses it; None if it needs all of them, so that no turn moves on."""
    tensor = next(t for t in buffer.tensors if t in op.inputs or t in op.outputs)
    if tensor in op.outputs:
        return rows, _OWN, False
    slid = window(graph, op, tensor)
    return None if slid.whole else (rows, (slid.stride, slid.offset), slid.slides)
