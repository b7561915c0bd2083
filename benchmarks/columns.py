"""What is won by columns where images are wider than high: arena, SRAM and instructions by rows and by columns.

    python -m benchmarks.columns [--json]

Int8 networks with random weights, which neither memory nor time depends on. Each is streamed in the least memory by
rows and by columns, and by columns as fast as may be within 1 KiB more and within what rows need, then run once on the
simulated nucleo-l4r5zi: instructions are exact counts, SRAM has the stack, outputs are compared with the portable
twin's, which runs by rows, layer by layer. Exit 1 where they differ.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.networks import mcunet_like, mobilenet_v2, plan_graph
from benchmarks.schedules import BOARD, CORE, KERNELS
from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.options import CompileOptions, Interface
from services.compiler.passes.optimize import optimize
from services.compiler.pipeline import compile_choice
from services.compiler.planned import Planned, plan_network
from services.compiler.planner.columns import transposed
from services.compiler.planner.kinds import Choice
from services.compiler.planner.stages import Pieces
from services.compiler.planner.trials import Trials, fastest_streams, least_streams
from services.evaluator.evaluate import Request, Workplace, evaluate
from services.evaluator.farm import load_farm
from tests.compiler.graph_maker import GraphMaker


@dataclass(frozen=True)
class Row:
    """A network under a schedule, run once."""

    network: str
    schedule: str
    arena_bytes: int
    sram_bytes: int
    macs: int
    instructions: int
    equals_twin: bool


def networks() -> Iterator[tuple[str, Graph]]:
    """Yield the networks by name, those of cameras, of a spectrogram and of sound as it comes."""
    gray = replace(mcunet_like(64), input_channels=1)
    yield "MobileNetV2 0.35, 96 x 192 x 3", plan_graph(mobilenet_v2(0.35, 96), width=192)
    yield "MobileNetV2 0.35, 96 x 128 x 3", plan_graph(mobilenet_v2(0.35, 96), width=128)
    yield "MCUNet-like, 80 x 160 x 3", plan_graph(mcunet_like(80), width=160)
    yield "MCUNet-like, 64 x 256 x 1", plan_graph(gray, width=256)
    yield "M5 by 1/4, 1 x 8000 x 1", waveform()


def waveform() -> Graph:
    """Return M5 with a quarter of its channels, over a second of sound at 8 kHz. Source: Dai et al., ICASSP 2017."""
    m = GraphMaker(seed=0, name="m5")
    x = m.conv2d(m.input(1, 1, 8000, 1), 32, (1, 80), (1, 4), activation=Activation.RELU)
    for channels in (32, 64, 128):
        x = m.conv2d(m.pool("max", x, (1, 4), (1, 4)), channels, (1, 3), activation=Activation.RELU)
    return m.build(m.dense(m.mean(m.pool("max", x, (1, 4), (1, 4)), (1, 2), keep=False), 10))


def plans(graph: Graph) -> Iterator[tuple[str, Planned]]:
    """Yield the plans that are compared."""
    whole = plan_network(graph, KERNELS)
    yield "per-layer", whole
    rows = _least(whole)
    yield "rows", rows
    turned = transposed(whole)
    if turned is None:
        raise SystemExit(f"{graph.name} has no image wider than high")
    columns, pieces = _least(turned), Pieces(turned, CORE)
    yield "columns", columns
    for told, room in (
        ("columns, 1 KiB more", columns.plan.arena_bytes + 1024),
        ("columns, as rows", rows.plan.arena_bytes),
    ):
        for fastest in fastest_streams(Trials(pieces, room))[:1]:
            yield told, pieces.planner.plan(fastest.streams, known=fastest.placed, room_bytes=room)


def _least(whole: Planned) -> Planned:
    pieces = Pieces(whole, CORE)
    least = least_streams(Trials(pieces), exact=True)
    if least is None or least.arena_bytes >= whole.plan.arena_bytes:
        return whole
    return pieces.planner.plan(least.streams, known=least.placed, is_least=True)


def rows() -> Iterator[Row]:
    """Yield every network under every schedule."""
    board = load_farm().board(BOARD)
    options = CompileOptions(board.target, CORE, "streaming")
    with tempfile.TemporaryDirectory() as cache:
        for name, graph in networks():
            optimized = optimize(graph, Interface.INT8)
            for schedule, planned in plans(optimized):
                compiled = compile_choice(Choice(planned, schedule), optimized, graph, options)
                found = evaluate(Request(compiled.library_zip), board, Workplace(Path(cache)))
                if found.performance is None or found.twin_equal is None:
                    raise SystemExit(f"{name}, {schedule}, does not run on {BOARD}: {found.fits}")
                sizes = found.sram.arena, found.sram.total, found.macs
                yield Row(name, schedule, *sizes, found.performance.instructions, found.twin_equal)


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.columns", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    as_json, found = parser.parse_args().json, list(rows())
    if as_json:
        print(json.dumps([asdict(row) for row in found], indent=1))
    else:
        table = Table("network", "schedule", "arena", "SRAM", "MACs", "instructions", "equals twin")
        for row in found:
            numbers = (f"{n:,}" for n in (row.arena_bytes, row.sram_bytes, row.macs, row.instructions))
            table.add_row(row.network, row.schedule, *numbers, "yes" if row.equals_twin else "NO")
        Console(width=150).print(table)
    sys.exit(not all(row.equals_twin for row in found))


if __name__ == "__main__":
    main()
