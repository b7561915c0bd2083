"""What schedules save: arena, MACs and modelled instructions per layer, in patches and streamed.

    python -m benchmarks.schedules [--models] [--json]

MobileNetV2 as in MCUNetV2's table (random weights: memory and MACs do not depend on them), the arena with the input
image in it and without; with `--models` the shared models instead. Kernels are those of the Cortex-M4. Nothing is
run: arenas and MACs are those of the plan, to the byte; instructions are modelled.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.networks import mobilenet_v2, plan_graph
from services.compiler.choose import best_patches, least_streams
from services.compiler.cost_model import work
from services.compiler.ir.graph import Graph
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.options import Core, Interface
from services.compiler.passes.optimize import optimize
from services.compiler.pipeline import import_model
from services.compiler.planned import Planned, plan_network
from services.compiler.schedule.patches import Grid
from services.compiler.stages import Pieces
from services.search.space.redistribute import redistribute

SHARED_MODELS = Path(__file__).resolve().parents[1].parent / "shared" / "models"
CORE, KERNELS = Core.CORTEX_M4, KernelSet.THUMB2
# The blocks of MobileNetV2 behind the stem that MCUNetV2 runs in patches: those down to an eighth of the image.
PATCHED_BLOCKS = 1 + 3


@dataclass(frozen=True)
class Row:
    """One network under one schedule; `arena_without_input` is None where that is per-layer's own business."""

    network: str
    schedule: str
    arena_bytes: int
    arena_without_input_bytes: int
    macs: int
    instructions: int | None


def rows(name: str, graph: Graph, grids: tuple[Grid, ...]) -> Iterator[Row]:
    """Yield the row of every schedule."""
    whole = plan_network(graph, KERNELS, exact=False)
    inside, outside = Pieces(whole, CORE), Pieces(whole, CORE, input_in_arena=False)
    yield _row(name, "per-layer", whole, outside.planner.place((), exact=False)[2].arena_bytes)
    for grid in grids:
        held, elsewhere = best_patches(inside, (grid,)), best_patches(outside, (grid,))
        if held is not None and elsewhere is not None:
            planned = inside.planner.plan_patches(elsewhere.patches, elsewhere.streams, exact=False)
            arenas = held.arena_bytes, elsewhere.arena_bytes
            yield Row(name, f"{grid[0]}x{grid[1]} patches", *arenas, planned.macs, None)
    held_streams, other = least_streams(inside), least_streams(outside)
    if held_streams is not None and other is not None:
        planned = inside.planner.plan(held_streams.streams, exact=False)
        yield _row(name, "streaming", planned, other.arena_bytes)


def _row(name: str, schedule: str, planned: Planned, without_input: int) -> Row:
    modelled = round(work(planned, CORE).instructions)
    return Row(name, schedule, planned.plan.arena_bytes, without_input, planned.macs, modelled)


def literature() -> Iterator[Row]:
    """Yield the rows of MCUNetV2's networks."""
    half, whole = mobilenet_v2(0.5, 144), mobilenet_v2(1.0, 224)
    yield from rows("MobileNetV2 0.5, 144", optimize(plan_graph(half), Interface.INT8), ((2, 2), (3, 3)))
    moved = redistribute(half, PATCHED_BLOCKS + 1).plan
    yield from rows("the same, redistributed", optimize(plan_graph(moved), Interface.INT8), ((2, 2), (3, 3)))
    yield from rows("MobileNetV2 1.0, 224", optimize(plan_graph(whole), Interface.INT8), ((3, 3), (4, 4)))


def shared_models() -> Iterator[Row]:
    """Yield the rows of the shared models."""
    for path in sorted(SHARED_MODELS.glob("*.tflite")):
        graph = optimize(import_model(path.read_bytes(), path.stem), Interface.INT8)
        yield from rows(path.stem, graph, ((2, 2),))


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.schedules", description=__doc__.splitlines()[0])
    parser.add_argument("--models", action="store_true", help="the shared models instead of the literature's networks")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = list(shared_models() if asked.models else literature())
    if asked.json:
        print(json.dumps([asdict(row) for row in found], indent=1))
        return
    table = Table("network", "schedule", "arena", "without input", "MACs", "instructions (modelled)")
    for row in found:
        numbers = row.arena_bytes, row.arena_without_input_bytes, row.macs, row.instructions
        table.add_row(row.network, row.schedule, *("" if n is None else f"{n:,}" for n in numbers))
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
