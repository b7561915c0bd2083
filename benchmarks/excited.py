"""Squeeze-and-excite under schedules: images that are squeezed held whole, or made again, compiled and run.

    python -m benchmarks.excited [--board NAME] [--json]

Inverted bottlenecks that are squeezed before they are projected: MobileNetV3-Small (Howard et al., ICCV 2019, table 2;
ReLU6 for h-swish) and MobileNetV2 0.35 with squeeze-and-excite in every block on images of three channels, and a person
detector for a camera of one. Weights are random: memory and time do not depend on them. Every network is compiled under
every schedule and run on a simulated board; outputs of one image are compared with the host twin's, which runs per
layer, and with the numpy reference's, bit for bit. Exit 1 where they differ.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.networks import Layers, round_to_8
from services.compiler.ir.graph import Graph
from services.compiler.ir.planned_ops import ImageSums
from services.compiler.options import CompileOptions, Core, Interface
from services.compiler.pipeline import compile_choice
from services.compiler.planner.choose import choose
from services.compiler.quant.reference import run_graph
from services.evaluator.evaluate import Request, Workplace, evaluate
from services.evaluator.farm import BoardConfig, load_farm

# (schedule, budget of SRAM or None)
ASKED: tuple[tuple[str, int | None], ...] = (
    ("per-layer", None),
    ("patch:2x2", None),
    ("patch", None),
    ("streaming", None),
    ("streaming", 65_536),
)


@dataclass(frozen=True, slots=True)
class Block:
    """An inverted bottleneck: depthwise kernel, expanded channels, channels, whether it is squeezed, stride."""

    kernel: int
    hidden: int
    channels: int
    squeezed: bool
    stride: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """A network under one schedule; `sums` are images whose sums are kept, `exact` that all outputs agree."""

    network: str
    schedule: str
    sums: int
    arena_bytes: int
    sram_bytes: int
    macs: int
    instructions: int
    exact: bool


def networks() -> Iterator[Graph]:
    """Yield the networks."""
    rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    blocks, channels = list[Block](), round_to_8(32 * 0.35)
    for expansion, out, count, stride in rows:
        for number in range(count):
            wide, channels = channels * expansion, round_to_8(out * 0.35)
            blocks.append(Block(3, wide, channels, True, stride if number == 0 else 1))
    yield squeezed("MobileNetV2 0.35 with SE, 96", (96, 96, 3), round_to_8(32 * 0.35), blocks, 1280)
    yield squeezed("MobileNetV3-Small, 96", (96, 96, 3), 16, _MOBILENET_V3_SMALL, 576)
    yield squeezed("person detector, 96 gray", (96, 96, 1), 16, _PERSON, 240)


_MOBILENET_V3_SMALL = (
    Block(3, 16, 16, True, 2), Block(3, 72, 24, False, 2), Block(3, 88, 24, False), Block(5, 96, 40, True, 2),
    Block(5, 240, 40, True), Block(5, 240, 40, True), Block(5, 120, 48, True), Block(5, 144, 48, True),
    Block(5, 288, 96, True, 2), Block(5, 576, 96, True), Block(5, 576, 96, True),
)  # fmt: skip
_PERSON = (
    Block(3, 16, 16, True), Block(3, 48, 24, True, 2), Block(3, 72, 24, True), Block(5, 72, 40, True, 2),
    Block(5, 120, 40, True), Block(5, 120, 48, True, 2), Block(5, 144, 48, True),
)  # fmt: skip


def squeezed(name: str, shape: tuple[int, int, int], stem: int, blocks: Sequence[Block], head: int) -> Graph:
    """Return a stem of stride 2, the blocks, each with a residual where shapes allow it, a head and two classes."""
    layers = Layers(name, 0)
    x = layers.conv(layers.input(*shape), stem, 3, 2)
    for block in blocks:
        skip, wide = x, block.hidden != layers.channels(x)
        x = layers.conv(x, block.hidden) if wide else x
        x = layers.depthwise(x, block.hidden, block.kernel, block.stride)
        x = layers.squeeze_and_excite(x) if block.squeezed else x
        x = layers.conv(x, block.channels, relu=False)
        if block.stride == 1 and layers.channels(skip) == block.channels:
            x = layers.add(x, skip)
    return layers.build(layers.dense(layers.mean(layers.conv(x, head)), 2))


def measure(graph: Graph, schedule: str, budget: int | None, board: BoardConfig, cache: Path) -> Row:
    """Compile and run a network under a schedule."""
    options = CompileOptions(
        board.target, Core(board.facts.core), schedule, interface=Interface.INT8, sram_budget_bytes=budget
    )
    choice = choose(graph, options)
    compiled = compile_choice(choice, graph, graph, options)
    image = np.random.default_rng(0).integers(-128, 128, graph.tensors[graph.inputs[0]].shape).astype(np.int8)
    arrays = io.BytesIO()
    np.savez(arrays, x=image)
    result = evaluate(Request(compiled.library_zip, arrays.getvalue()), board, Workplace(cache))
    if result.performance is None:
        raise SystemExit(f"{graph.name} under {schedule} does not fit {board.name}")
    (expected,), (found,) = run_graph(graph, (image,)), dict(result.outputs).values()
    same = np.array_equal(expected.ravel(), found.ravel())
    return Row(
        network=graph.name,
        schedule=schedule if budget is None else f"{schedule}, {budget:,} bytes",
        sums=sum(isinstance(op, ImageSums) for op in choice.planned.graph.ops),
        arena_bytes=result.sram.arena,
        sram_bytes=result.sram.total,
        macs=result.macs,
        instructions=result.performance.instructions,
        exact=bool(result.twin_equal) and same,
    )


def table(rows: Sequence[Row], board: str) -> Table:
    """Return the table of all runs."""
    shown = Table(title=f"Squeeze-and-excite on {board}")
    for name in ("network", "schedule", "sums kept"):
        shown.add_column(name)
    for name in ("arena", "SRAM", "MACs", "instructions", "to per-layer", "board = twin = reference"):
        shown.add_column(name, justify="right")
    least = {row.network: row.instructions for row in rows if row.schedule == "per-layer"}
    for row in rows:
        figures = (f"{n:,}" for n in (row.arena_bytes, row.sram_bytes, row.macs, row.instructions))
        share = f"{100 * (row.instructions / least[row.network] - 1):+.1f} %"
        shown.add_row(row.network, row.schedule, str(row.sums), *figures, share, "yes" if row.exact else "NO")
    return shown


def main() -> None:
    """Measure every network under every schedule."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--board", default="nucleo-l4r5zi", metavar="NAME")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    board = load_farm().board(options.board)
    with tempfile.TemporaryDirectory() as cache:
        rows = [measure(graph, *asked, board, Path(cache)) for graph in networks() for asked in ASKED]
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        Console(width=160).print(table(rows, options.board))
    if not all(row.exact for row in rows):
        raise SystemExit("board, twin and reference differ")


if __name__ == "__main__":
    main()
