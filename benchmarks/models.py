"""SRAM, flash, instructions and speed of the tools on real models, beside what other engines published.

    python -m benchmarks [--board NAME]... [--kernels portable|core] [MODEL.tflite | MODEL.onnx]...

Without models it takes the folder ../shared/models. One input, zeros or seeded noise, runs on each board; nothing is
cached and no service is needed, so the seconds are those of the compiler, the cross compiler and the simulator.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from services.common.errors import FarmError
from services.compiler.options import CompileOptions, Core, Kernels
from services.compiler.pipeline import compile_model
from services.evaluator.evaluate import Evaluation, Request, Workplace, evaluate
from services.evaluator.farm import BoardConfig, load_farm

SHARED_MODELS = Path(__file__).resolve().parents[2] / "shared" / "models"
DEFAULT_BOARDS = ("nucleo-l4r5zi", "stm32f746")

# Instructions of one inference, Cortex-M4 build, counted with QEMU -icount and Unicorn: TFLM 90b983c with CMSIS-NN
# kernels (gcc 12.2 -O2), and for the last model also TinyEngine 47bb283 with its default float requantization (-Ofast).
PEERS: dict[str, tuple[tuple[str, float], ...]] = {
    "kws_ref_model": (("TFLM + CMSIS-NN", 7.70e6),),
    "pretrainedResnet_quant": (("TFLM + CMSIS-NN", 29.87e6),),
    "vww_96_int8": (("TFLM + CMSIS-NN", 24.10e6),),
    "ad01_int8": (("TFLM + CMSIS-NN", 0.583e6),),
    "mcunet_vww1": (("TFLM + CMSIS-NN", 47.94e6), ("TinyEngine", 34.74e6)),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One model on one board; `error` says why there is no evaluation."""

    model: str
    board: str
    compile_s: float
    evaluate_s: float
    evaluation: Evaluation | None
    error: str = ""


def measure(model: Path, board: BoardConfig, kernels: Kernels, workplace: Workplace) -> Row:
    """Compile and run one model."""
    start = time.perf_counter()
    options = CompileOptions(board.target, Core(board.facts.core), kernels=kernels)
    try:
        library = compile_model(model.read_bytes(), model.name, options).library_zip
        compiled = time.perf_counter()
        evaluation = evaluate(Request(library), board, workplace)
    except FarmError as error:
        return Row(model.stem, board.name, time.perf_counter() - start, 0.0, None, str(error))
    return Row(model.stem, board.name, compiled - start, time.perf_counter() - compiled, evaluation)


def sizes(rows: list[Row]) -> Table:
    """Return the table of sizes and counts."""
    table = Table(title="One inference (instructions exact, cycles modelled; SRAM = arena + static + stack)")
    for name in ("model", "board"):
        table.add_column(name)
    for name in ("MACs", "arena", "SRAM", "flash", "instructions", "instr/MAC", "cycles", "MIPS", "compile s", "run s"):
        table.add_column(name, justify="right")
    for row in rows:
        result = row.evaluation
        if result is None:
            table.add_row(row.model, row.board, row.error)
            continue
        figures = [f"{result.macs:,}", f"{result.sram.arena:,}", f"{result.sram.total:,}", f"{result.flash.total:,}"]
        if (ran := result.performance) is None:
            figures += ["does not fit", "", "", ""]
        else:
            ratio = ran.instructions / result.macs if result.macs else 0.0
            figures += [f"{ran.instructions:,}", f"{ratio:.2f}", f"{ran.cycles:,.0f}", f"{ran.simulated_mips:.0f}"]
        table.add_row(row.model, row.board, *figures, f"{row.compile_s:.2f}", f"{row.evaluate_s:.2f}")
    return table


def against_peers(rows: list[Row]) -> Table:
    """Return the table of instructions on Cortex-M4 beside other engines'; a ratio above 1 means that we need more."""
    table = Table(title="Instructions on Cortex-M4 beside other engines")
    for name in ("model", "engine"):
        table.add_column(name)
    for name in ("theirs", "tinyfarm", "tinyfarm / theirs"):
        table.add_column(name, justify="right")
    for row, engine, theirs, ours in _comparisons(rows):
        color = "red" if ours > theirs else "green"
        table.add_row(row.model, engine, f"{theirs:,.0f}", f"{ours:,}", f"[{color}]{ours / theirs:.2f}[/{color}]")
    return table


def _comparisons(rows: list[Row]) -> Iterator[tuple[Row, str, float, int]]:
    for row in rows:
        result = row.evaluation
        if result is None or result.performance is None or result.target != "nucleo-l4r5zi":
            continue
        for engine, theirs in PEERS.get(row.model, ()):
            yield row, engine, theirs, result.performance.instructions


def main() -> None:
    """Measure what the command line names and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--board", action="append", dest="boards", metavar="NAME")
    parser.add_argument("--kernels", type=Kernels, default=Kernels.PORTABLE, help="portable (default) or core")
    options = parser.parse_args()
    models = options.models or sorted(SHARED_MODELS.glob("*.tflite"))
    if not models:
        parser.error(f"{SHARED_MODELS} is not here: name the models to measure")
    farm = load_farm()
    boards = [farm.board(name) for name in options.boards or DEFAULT_BOARDS]
    console = Console()
    with tempfile.TemporaryDirectory() as cache, console.status("measuring") as status:
        rows = []
        for model in models:
            for board in boards:
                status.update(f"{model.stem} on {board.name}")
                rows.append(measure(model, board, options.kernels, Workplace(Path(cache))))
    console.print(sizes(rows))
    if list(_comparisons(rows)):
        console.print(against_peers(rows))
