"""What schedules save: arena, MACs and instructions per layer, in patches and streamed.

    python -m benchmarks.schedules [--models [NAME ...]] [--json]

MobileNetV2 as in MCUNetV2's table (random weights: memory and MACs do not depend on them), the arena with the input
image in it, without it, and with what is held of it where its rows are pulled. Kernels are those of the Cortex-M4.
Nothing is run: arenas and MACs are those of the plan, to the byte; instructions are modelled.

With `--models` the shared models instead, or those named, compiled under every schedule and run on the simulated
nucleo-l4r5zi: instructions are exact counts, outputs of one seeded input equal the portable twin's. Exit 1 where a
schedule that the planner chose needs a larger arena than per-layer, or outputs differ. Models whose input cannot be
pulled are left out of what pulls.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.networks import mobilenet_v2, plan_graph
from benchmarks.shared import SHARED_MODELS
from services.common.errors import UnsupportedError
from services.compiler.cost.cost_model import work
from services.compiler.ir.graph import Graph
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.options import CompileOptions, Core, Interface
from services.compiler.passes.optimize import optimize
from services.compiler.passes.pull_input import pull_input
from services.compiler.pipeline import compile_model
from services.compiler.planned import Planned, plan_network
from services.compiler.planner.stages import Pieces
from services.compiler.planner.trials import Trials, best_patches, least_streams
from services.compiler.schedule.patches import Grid
from services.evaluator.evaluate import Request, Workplace, evaluate
from services.evaluator.farm import load_farm
from services.search.space.redistribute import redistribute

CORE, KERNELS, BOARD = Core.CORTEX_M4, KernelSet.THUMB2, "nucleo-l4r5zi"
PULLED = " --pull-input"
SCHEDULES = ("per-layer", "patch", "patch:2x2", "streaming", f"patch{PULLED}", f"streaming{PULLED}")
# The blocks of MobileNetV2 behind the stem that MCUNetV2 runs in patches: those down to an eighth of the image.
PATCHED_BLOCKS = 1 + 3


@dataclass(frozen=True)
class Row:
    """One network under one schedule; `arena_pulled_bytes` is None where the input cannot be pulled."""

    network: str
    schedule: str
    arena_bytes: int
    arena_without_input_bytes: int
    arena_pulled_bytes: int | None
    macs: int
    instructions: int


def rows(name: str, graph: Graph, grids: tuple[Grid, ...]) -> Iterator[Row]:
    """Yield the row of every schedule."""
    whole = plan_network(graph, KERNELS, exact=False)
    inside, outside = Pieces(whole, CORE), Pieces(whole, CORE, input_in_arena=False)
    pulled = Pieces(plan_network(pull_input(graph), KERNELS, exact=False), CORE)
    yield _row(name, "per-layer", whole, outside.planner.place((), exact=False)[2].arena_bytes, None)
    for grid in grids:
        held, elsewhere, rows_held = (best_patches(pieces, (grid,)) for pieces in (inside, outside, pulled))
        if held is not None and elsewhere is not None and rows_held is not None:
            planned = inside.planner.plan_patches(elsewhere.patches, elsewhere.streams, exact=False)
            row = _row(name, f"{grid[0]}x{grid[1]} patches", planned, elsewhere.arena_bytes, rows_held.arena_bytes)
            yield replace(row, arena_bytes=held.arena_bytes)
    held_streams, other, rings = (least_streams(Trials(pieces)) for pieces in (inside, outside, pulled))
    if held_streams is not None and other is not None and rings is not None:
        planned = inside.planner.plan(held_streams.streams, exact=False)
        yield _row(name, "streaming", planned, other.arena_bytes, rings.arena_bytes)


def _row(name: str, schedule: str, planned: Planned, without_input: int, pulled: int | None) -> Row:
    modelled = round(work(planned, CORE).instructions)
    return Row(name, schedule, planned.plan.arena_bytes, without_input, pulled, planned.macs, modelled)


def literature() -> Iterator[Row]:
    """Yield the rows of MCUNetV2's networks."""
    half, whole = mobilenet_v2(0.5, 144), mobilenet_v2(1.0, 224)
    yield from rows("MobileNetV2 0.5, 144", optimize(plan_graph(half), Interface.INT8), ((2, 2), (3, 3)))
    moved = redistribute(half, PATCHED_BLOCKS + 1).plan
    yield from rows("the same, redistributed", optimize(plan_graph(moved), Interface.INT8), ((2, 2), (3, 3)))
    yield from rows("MobileNetV2 1.0, 224", optimize(plan_graph(whole), Interface.INT8), ((3, 3), (4, 4)))


@dataclass(frozen=True)
class Run:
    """A model under one schedule on the board; `chosen` is what the planner made of it."""

    model: str
    schedule: str
    chosen: str
    arena_bytes: int
    sram_bytes: int
    macs: int
    instructions: int
    equals_twin: bool


def shared_models(names: Sequence[str]) -> Iterator[Run]:
    """Yield these shared models, or every one, under every schedule."""
    with tempfile.TemporaryDirectory() as cache:
        for path in [SHARED_MODELS / f"{name}.tflite" for name in names] or sorted(SHARED_MODELS.glob("*.tflite")):
            for schedule in SCHEDULES:
                with suppress(UnsupportedError):  # inputs that cannot be pulled
                    yield _run(path, schedule, Workplace(Path(cache)))


def _run(path: Path, schedule: str, workplace: Workplace) -> Run:
    board = load_farm().board(BOARD)
    options = CompileOptions(board.target, CORE, schedule.removesuffix(PULLED), pull_input=schedule.endswith(PULLED))
    compiled = compile_model(path.read_bytes(), path.stem, options)
    found = evaluate(Request(compiled.library_zip), board, workplace)
    if found.performance is None or found.twin_equal is None:
        raise SystemExit(f"{path.stem} does not run on {BOARD}: {found.fits}")
    chosen, ran = compiled.manifest.schedule_reason.partition(": ")[0], found.performance
    sizes = found.sram.arena, found.sram.total, found.macs
    return Run(path.stem, schedule, chosen, *sizes, ran.instructions, found.twin_equal)


def mistakes(runs: Sequence[Run]) -> Iterator[str]:
    """Yield what a schedule must not do: need more memory than per-layer, or compute something else."""
    whole = {run.model: run.arena_bytes for run in runs if run.schedule == "per-layer"}
    for run in runs:
        if ":" not in run.schedule and run.arena_bytes > whole[run.model]:
            yield f"{run.model}, {run.schedule}: {run.arena_bytes} bytes of arena, per-layer {whole[run.model]}"
        if not run.equals_twin:
            yield f"{run.model}, {run.schedule}: outputs differ from the twin's"


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.schedules", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--models", nargs="*", metavar="NAME", help="shared models, all or those named, not the literature's networks"
    )
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.models is not None:
        sys.exit(report_models(asked.models, asked.json))
    found = list(literature())
    if asked.json:
        print(json.dumps([asdict(row) for row in found], indent=1))
        return
    table = Table("network", "schedule", "arena", "without input", "input pulled", "MACs", "instructions (modelled)")
    for row in found:
        arenas = row.arena_bytes, row.arena_without_input_bytes, row.arena_pulled_bytes
        numbers = *arenas, row.macs, row.instructions
        table.add_row(row.network, row.schedule, *("" if n is None else f"{n:,}" for n in numbers))
    Console(width=130).print(table)


def report_models(names: Sequence[str], as_json: bool) -> int:
    """Print the runs of these shared models, or of all; return how many mistakes there are."""
    runs = list(shared_models(names))
    wrong = list(mistakes(runs))
    if as_json:
        print(json.dumps([asdict(run) for run in runs], indent=1))
    else:
        least = {run.model: run.instructions for run in runs if run.schedule == "per-layer"}
        table = Table("model", "schedule", "chosen", "arena", "SRAM", "MACs", "instructions", "to per-layer")
        for run in runs:
            numbers = (f"{n:,}" for n in (run.arena_bytes, run.sram_bytes, run.macs, run.instructions))
            share = f"{100 * (run.instructions / least[run.model] - 1):+.1f} %"
            table.add_row(run.model, run.schedule, run.chosen, *numbers, share)
        Console(width=150).print(table)
    print(*wrong, sep="\n", file=sys.stderr)
    return len(wrong)


if __name__ == "__main__":
    main()
