"""SRAM, flash, instructions, cycles and speed of the tools on real models, beside what other engines need.

    python -m benchmarks.models [--board NAME]... [--kernels core|small|portable] [--toolchain zig|gcc]
                                [--layers] [--json] [MODEL]...

Without models it takes the folder ../shared/models. One seeded input runs on each board; nothing is cached and no
service is needed, so the seconds are those of the compiler, the cross compiler and the simulator.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.peers import PEERS, Peer, Unit
from benchmarks.shared import SHARED_MODELS
from services.common.errors import FarmError
from services.compiler.options import CompileOptions, Core, Kernels
from services.compiler.pipeline import compile_model
from services.evaluator.evaluate import Evaluation, Request, Workplace, evaluate
from services.evaluator.farm import BoardConfig, load_farm
from services.evaluator.measure.performance import Performance
from services.evaluator.toolchain import ToolchainKind

DEFAULT_BOARDS = ("nucleo-l4r5zi", "stm32f746", "nucleo-u575zi", "rp2040")


@dataclass(frozen=True, slots=True)
class Row:
    """One model on one board; `error` says why there is no evaluation. Seconds are of this machine."""

    model: str
    board: str
    compile_seconds: float
    evaluate_seconds: float
    evaluation: Evaluation | None
    error: str = ""

    @property
    def performance(self) -> Performance | None:
        """What ran, if it fits the board."""
        return self.evaluation.performance if self.evaluation else None


def measure(model: Path, board: BoardConfig, kernels: Kernels, toolchain: ToolchainKind, workplace: Workplace) -> Row:
    """Compile and run one model."""
    start = time.perf_counter()
    options = CompileOptions(board.target, Core(board.facts.core), kernels=kernels)
    try:
        library = compile_model(model.read_bytes(), model.name, options).library_zip
        compiled = time.perf_counter()
        evaluation = evaluate(Request(library, toolchain=toolchain), board, workplace)
    except FarmError as error:
        return Row(model.stem, board.name, time.perf_counter() - start, 0.0, None, str(error))
    return Row(model.stem, board.name, compiled - start, time.perf_counter() - compiled, evaluation)


def figures(rows: list[Row]) -> Table:
    """Return the table of sizes and counts."""
    table = Table(title="One inference: bytes and instructions exact, cycles modelled; SRAM = arena + static + stack")
    for name in ("model", "board"):
        table.add_column(name)
    columns = (
        "MACs",
        "arena",
        "SRAM",
        "code",
        "flash",
        "instructions",
        "instr/MAC",
        "core cycles",
        "with flash",
        "cyc/MAC",
    )
    for name in (*columns, "ms", "compile s", "run s"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(row.model, row.board, *_cells(row), f"{row.compile_seconds:.2f}", f"{row.evaluate_seconds:.2f}")
    return table


def _cells(row: Row) -> list[str]:
    result, ran = row.evaluation, row.performance
    if result is None:
        return [row.error, *[""] * 10]
    sizes = (result.macs, result.sram.arena, result.sram.total, result.flash.code, result.flash.total)
    cells = [f"{n:,}" for n in sizes]
    if ran is None:
        return [*cells, "does not fit", *[""] * 5]
    macs = max(1, result.macs)
    waits = ran.cycles / ran.core_cycles
    return [
        *cells,
        f"{ran.instructions:,}",
        f"{ran.instructions / macs:.2f}",
        f"{ran.core_cycles:,.0f}",
        f"x{waits:.3f}",
        f"{ran.cycles / macs:.2f}",
        f"{ran.latency_us / 1e3:.2f}",
    ]


def layers(row: Row) -> Table:
    """Return the table of one row's layers."""
    table = Table(title=f"{row.model} on {row.board}, layer by layer")
    for name in ("layer", "operator", "output", "MACs", "instructions", "instr/MAC", "cycles"):
        table.add_column(name, justify="left" if name in ("operator", "output") else "right")
    for layer in row.performance.layers if row.performance else ():
        ratio = f"{layer.instructions / layer.macs:.2f}" if layer.macs else ""
        shape = "x".join(map(str, layer.output_shape))
        counts = f"{layer.macs:,}", f"{layer.instructions:,}", ratio, f"{layer.cycles:,.0f}"
        table.add_row(str(layer.index), layer.op, shape, *counts)
    return table


@dataclass(frozen=True, slots=True)
class Comparison:
    """A peer's figure beside ours in the same unit; a ratio below 1 means that we need less."""

    model: str
    board: str
    engine: str
    unit: str
    theirs: float
    ours: float
    ratio: float


def comparisons(rows: list[Row]) -> list[Comparison]:
    """Return every recorded figure for what ran; published cycles stand beside modelled ones."""
    return [
        _comparison(row, row.performance, peer)
        for row in rows
        if row.performance is not None
        for peer in PEERS.get(row.board, {}).get(row.model, ())
    ]


def _comparison(row: Row, ran: Performance, peer: Peer) -> Comparison:
    ours = ran.instructions if peer.unit is Unit.INSTRUCTIONS else ran.cycles
    return Comparison(row.model, row.board, peer.engine, peer.unit.value, peer.value, ours, ours / peer.value)


def against_peers(found: list[Comparison]) -> Table:
    """Return the table of comparisons."""
    table = Table(title="Beside other engines (instructions: the same simulator; cycles: ours modelled)")
    for name in ("model", "board", "engine", "unit"):
        table.add_column(name)
    for name in ("theirs", "tinyfarm", "tinyfarm / theirs"):
        table.add_column(name, justify="right")
    for c in found:
        color = "red" if c.ratio > 1 else "green"
        ratio = f"[{color}]{c.ratio:.2f}[/{color}]"
        table.add_row(c.model, c.board, c.engine, c.unit, f"{c.theirs:,.0f}", f"{c.ours:,.0f}", ratio)
    return table


def document(rows: list[Row]) -> str:
    """Return everything as JSON."""
    entries = [
        {
            "model": row.model,
            "board": row.board,
            "error": row.error,
            "macs": row.evaluation.macs if row.evaluation else None,
            "sram_bytes": asdict(row.evaluation.sram) if row.evaluation else None,
            "flash_bytes": asdict(row.evaluation.flash) if row.evaluation else None,
            "performance": asdict(row.performance) if row.performance else None,
        }
        for row in rows
    ]
    return json.dumps({"rows": entries, "peers": [asdict(c) for c in comparisons(rows)]}, indent=1)


def main() -> None:
    """Measure what the command line names and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--board", action="append", dest="boards", metavar="NAME")
    parser.add_argument("--kernels", type=Kernels, default=Kernels.CORE, help="core (default), small or portable")
    parser.add_argument(
        "--toolchain", choices=("zig", "gcc"), default="zig", help="compiler of the firmware: zig (default) or gcc"
    )
    parser.add_argument("--layers", action="store_true", help="also a table for each model's layers")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    options = parser.parse_args()
    models = options.models or sorted(SHARED_MODELS.glob("*.tflite"))
    if not models:
        parser.error(f"{SHARED_MODELS} is not here: name the models to measure")
    farm = load_farm()
    boards = [farm.board(name) for name in options.boards or DEFAULT_BOARDS]
    rows = _measure_all(models, boards, options.kernels, options.toolchain)
    if options.json:
        print(document(rows))
        return
    console = Console()
    console.print(figures(rows))
    for row in rows if options.layers else ():
        console.print(layers(row))
    if found := comparisons(rows):
        console.print(against_peers(found))


def _measure_all(
    models: list[Path], boards: list[BoardConfig], kernels: Kernels, toolchain: ToolchainKind
) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as cache, Console(stderr=True).status("measuring") as status:
        for model in models:
            for board in boards:
                status.update(f"{model.stem} on {board.name}")
                rows.append(measure(model, board, kernels, toolchain, Workplace(Path(cache))))
    return rows


if __name__ == "__main__":
    main()
