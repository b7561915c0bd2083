"""Modelled costs of kernel calls: bytes of code, instructions and cycles, linear in counts known from shapes.

The coefficients are measured, a table a core and kernel set in cost_tables/, made by
`python -m benchmarks.cost_table`, which also writes each table's error. Latency is linear in the operations of one
family of layers (MicroNets, MLSys 2021).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from services.compiler.codegen.program import Layer
from services.compiler.cost.glue_counts import RING, WIDE_DIVISIONS, Glue, layer_glue, network_glue
from services.compiler.cost.kernel_counts import layer_counts
from services.compiler.cost.thumb2_counts import source_bytes
from services.compiler.cost.turn_counts import Box, Widths, counts_in_turns
from services.compiler.ir.graph import Graph
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.kernels.source import KernelSource
from services.compiler.options import Core, issue_of
from services.compiler.planned import Planned

_FOLDER = Path(__file__).parent / "cost_tables"


@dataclass(frozen=True, slots=True)
class CostTable:
    """What was measured on one core. `function_bytes` and `needs` (functions a kernel links) are exact for the
    compiler named in `source`; `glue_bytes`, `instructions` and `cycles` are fitted coefficients by count.
    """

    source: str
    function_bytes: Mapping[str, int]
    needs: Mapping[str, tuple[str, ...]]
    glue_bytes: Mapping[str, float]
    instructions: Mapping[str, float]
    cycles: Mapping[str, float]
    error: Mapping[str, float]


@cache
def load_cost_table(core: Core, kernels: KernelSet = KernelSet.PORTABLE) -> CostTable:
    """Return the table of a core's kernels, which stand beside the portable ones: its own file goes first."""
    raw = json.loads((_FOLDER / table_file(core, kernels)).read_text(encoding="utf-8"))
    own = CostTable(**{**raw, "needs": {kernel: tuple(names) for kernel, names in raw["needs"].items()}})
    if kernels is KernelSet.PORTABLE:
        return own
    portable = load_cost_table(core)
    return replace(
        own,
        function_bytes={**portable.function_bytes, **own.function_bytes},
        needs={**portable.needs, **own.needs},
        instructions={**portable.instructions, **own.instructions},
        cycles={**portable.cycles, **own.cycles},
    )


def table_file(core: Core, kernels: KernelSet) -> str:
    """Return the file name of a table."""
    own = KernelSet.THUMB2 if kernels is KernelSet.THUMB2_SMALL else kernels
    return f"{core.value}.json" if own is KernelSet.PORTABLE else f"{core.value}-{own.value}.json"


def code_bytes(planned: Planned, core: Core) -> int:
    """Return the bytes of the library's code and the runtime routines that it pulls in."""
    table = load_cost_table(core, planned.kernels)
    program = planned.program
    return linked_bytes(table, program.functions(), program.sources(), glue_counts(planned), core)


def linked_bytes(
    table: CostTable, kernels: Iterable[str], sources: Iterable[KernelSource], glue: Glue, core: Core
) -> int:
    """Return the bytes of code that links these kernels and generated files, with glue that counts so much."""
    functions = set(table.needs[""]).union(*[table.needs[kernel] for kernel in (*kernels, *_inlined(glue))])
    issue = issue_of(core)
    generated = sum([source_bytes(source, issue) for source in sources])
    return sum([table.function_bytes[name] for name in functions]) + generated + round(_priced(table.glue_bytes, glue))


def known_code_bytes(planned: Planned, core: Core) -> int | None:
    """Return the same, or None where kernels or glue are newer than what was measured of the core."""
    if not (_FOLDER / table_file(core, planned.kernels)).exists():
        return None
    table, glue = load_cost_table(core, planned.kernels), glue_counts(planned)
    known = table.needs.keys() >= {*planned.program.functions(), *_inlined(glue)} and table.glue_bytes.keys() >= set(
        glue
    )
    return code_bytes(planned, core) if known else None


@dataclass(frozen=True, slots=True)
class Work:
    """What one inference takes: instructions, and the core's cycles without waiting for memory."""

    instructions: float
    cycles: float


def work(planned: Planned, core: Core) -> Work:
    """Return the modelled work of a planned network."""
    table = load_cost_table(core, planned.kernels)
    boxes: dict[int, list[Box]] = {}
    for stage in planned.program.stages:
        for turn in stage.turns:
            boxes.setdefault(turn.layer, []).append((turn.rows, turn.cols))
    done = [layer_work(planned.graph, layer, boxes.get(layer.index, []), table) for layer in planned.program.layers]
    return Work(sum(w.instructions for w in done), sum(w.cycles for w in done))


def layer_work(
    graph: Graph, layer: Layer, boxes: Sequence[Box], table: CostTable, buffer_widths: Widths | None = None
) -> Work:
    """Return the modelled work of a layer: at once, or in turns that compute these boxes of its output.

    `buffer_widths` are the columns that the buffers of a patch hold, where the layer's pointers do not tell. A layer
    that pulls calls no kernel: its work is the caller's.
    """
    op = graph.ops[layer.op_index]
    if not layer.in_turns or not layer.calls:
        counts = layer_counts(graph, op, layer.calls)
    else:
        counts = counts_in_turns(graph, op, layer, boxes, buffer_widths)
    return Work(_priced(table.instructions, counts), _priced(table.cycles, counts))


def glue_counts(planned: Planned) -> Glue:
    """Return what the code around the kernels of a planned network grows with."""
    return network_glue(planned.graph, planned.schedule, map(layer_glue, planned.program.layers))


def _inlined(glue: Glue) -> tuple[str, ...]:
    """Return the functions in glue that may call the runtime: on a core that cannot divide, tf_ring."""
    return (RING,) if glue.get(WIDE_DIVISIONS) else ()


def _priced(prices: Mapping[str, float], counts: Mapping[str, float]) -> float:
    return sum(prices[name] * count for name, count in counts.items())
