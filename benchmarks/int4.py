"""int4 in place of int8 weights: flash, instructions, and how often the answer stays the same.

    python -m benchmarks.int4 [--board NAME] [--kernels core|portable] [--data X.npz] [--json] [MODEL.tflite]...

A model's int8 weights are requantized to int4, one scale an output channel: to the nearest value, and rounded for the
inputs of calibration samples. Without --data (samples `x`, labels `y`) these are seeded noise, and the answers
compared are those to other noise and to ../shared/golden. With it every third sample calibrates and the others tell.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from benchmarks.shared import GOLDEN, SHARED_MODELS
from services.compiler.ir.graph import Graph
from services.compiler.options import CompileOptions, Core, Kernels
from services.compiler.passes.optimize import optimize
from services.compiler.pipeline import compile_graph, import_model
from services.compiler.quant.reference import run_graph
from services.compiler.quantize.requantize_int4 import requantize_to_int4
from services.evaluator.evaluate import Request, Workplace, evaluate
from services.evaluator.farm import BoardConfig, load_farm

DEFAULT_MODELS = ("pretrainedResnet_quant", "kws_ref_model")
CALIBRATION, TOLD = 64, 100
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Data:
    """Samples to calibrate with and to tell by, and the latter's labels where there are any."""

    calibration: Array
    told: Array
    labels: Array | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One form of a model on a board. Agreement is of the largest output with the int8 model's."""

    model: str
    weights: str
    weights_bytes: int
    flash_bytes: int
    arena_bytes: int
    instructions: int | None
    cycles: float | None
    board_equals_twin: bool | None
    agreement: float
    accuracy: float | None


def data_of(model: Path, shape: Sequence[int], given: Path | None) -> Data:
    """Return the samples, int8 in the model's own quantization."""
    if given is not None:
        arrays = np.load(given)
        told = np.arange(len(arrays["x"])) % 3 != 0
        labels = arrays["y"][told] if "y" in arrays else None
        return Data(arrays["x"][~told][:CALIBRATION], arrays["x"][told], labels)
    noise = np.random.default_rng(0).integers(-128, 128, (CALIBRATION + TOLD, *shape[1:])).astype(np.int8)
    golden = GOLDEN / f"{model.stem}.npz"
    held = [np.load(golden)["input"].reshape(-1, *shape[1:])] if golden.is_file() else []
    return Data(noise[:CALIBRATION], np.concatenate([*held, noise[CALIBRATION:]]))


def answers(graph: Graph, samples: Array) -> Array:
    """Return the largest output of every sample."""
    shape = graph.tensors[graph.inputs[0]].shape
    return np.array([int(run_graph(graph, (x.reshape(shape),))[0].argmax()) for x in samples])


def forms(graph: Graph, data: Data) -> list[tuple[str, Graph]]:
    """Return the int8 graph and both int4 ones, by what they are called."""
    shape = graph.tensors[graph.inputs[0]].shape
    samples = [(x.reshape(shape),) for x in data.calibration]
    return [
        ("int8", graph),
        ("int4, nearest", requantize_to_int4(graph)),
        ("int4, calibrated", requantize_to_int4(graph, samples)),
    ]


def measure(model: Path, given: Path | None, board: BoardConfig, kernels: Kernels, workplace: Workplace) -> list[Row]:
    """Compile and run every form of a model."""
    imported = import_model(model.read_bytes(), model.stem)
    options = CompileOptions(board.target, Core(board.facts.core), kernels=kernels)
    graph = optimize(imported, options.interface)
    data = data_of(model, graph.tensors[graph.inputs[0]].shape, given)
    rows, first = [], answers(graph, data.told)
    for weights, form in forms(graph, data):
        found = first if form is graph else answers(form, data.told)
        result = evaluate(Request(compile_graph(form, imported, options).library_zip), board, workplace)
        rows.append(
            Row(
                model=model.stem,
                weights=weights,
                weights_bytes=result.flash.weights,
                flash_bytes=result.flash.total,
                arena_bytes=result.sram.arena,
                instructions=result.performance.instructions if result.performance else None,
                cycles=result.performance.cycles if result.performance else None,
                board_equals_twin=result.twin_equal,
                agreement=float(np.mean(found == first)),
                accuracy=None if data.labels is None else float(np.mean(found == data.labels)),
            )
        )
    return rows


def table(rows: list[Row], title: str) -> Table:
    """Return the rows, each int4 form with its ratio to the int8 one."""
    made = Table(title=title)
    for name in ("model", "weights"):
        made.add_column(name)
    for name in ("weights B", "flash B", "arena B", "instructions", "cycles", "agreement", "accuracy"):
        made.add_column(name, justify="right")
    base = rows[0]
    for row in rows:
        base = row if row.weights == "int8" else base
        accuracy = "" if row.accuracy is None else f"{row.accuracy:.4f}"
        figures = (
            beside(row.weights_bytes, base.weights_bytes),
            beside(row.flash_bytes, base.flash_bytes),
            beside(row.arena_bytes, base.arena_bytes),
            beside(row.instructions, base.instructions),
            beside(row.cycles, base.cycles),
        )
        made.add_row(row.model, row.weights, *figures, f"{row.agreement:.4f}", accuracy)
    return made


def beside(value: float | None, base: float | None) -> str:
    """Return a figure and its ratio to int8's."""
    if value is None or base is None:
        return "does not fit"
    return f"{value:,.0f}" if value is base else f"{value:,.0f} ({value / base:.3f})"


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--board", default="nucleo-l4r5zi", metavar="NAME")
    parser.add_argument("--kernels", type=Kernels, default=Kernels.CORE, help="core (default) or portable")
    parser.add_argument("--data", type=Path, metavar="X.npz")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    models = asked.models or [SHARED_MODELS / f"{name}.tflite" for name in DEFAULT_MODELS]
    board, rows = load_farm().board(asked.board), list[Row]()
    with tempfile.TemporaryDirectory() as cache:
        for model in models:
            rows += measure(model, asked.data, board, asked.kernels, Workplace(Path(cache)))
    if asked.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        Console(width=150).print(table(rows, f"{asked.board}, {asked.kernels.value} kernels, int8 interface"))


if __name__ == "__main__":
    main()
