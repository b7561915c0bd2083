"""Kinds of networks from torch to the board: exported to ONNX, quantized, compiled, run, compared with onnxruntime.

    python -m benchmarks.families [--board NAME] [--output FILE.md] [NETWORK]...

Weights are random (seeded): speed, memory and arithmetic are the subject, not accuracy. NETWORK is a part of a name
in `benchmarks/torch_networks.py`. Exit 1 if a network is refused or a board's output differs from the host twin's.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import nn

from benchmarks.torch_networks import FAMILIES, Network
from services.common.errors import FarmError
from services.compiler.options import CompileOptions, Core
from services.compiler.pipeline import compile_model
from services.compiler.quantize import quantize_onnx
from services.evaluator.evaluate import Evaluation, Request, Workplace, evaluate
from services.evaluator.farm import BoardConfig, load_farm
from services.evaluator.interface import from_c, to_c
from services.evaluator.library import read_library
from services.evaluator.twin import Twin

Array = npt.NDArray[Any]

OPSET = 17
SAMPLES, CALIBRATION = 2, 8
_COLUMNS = (
    *("network", "MMAC", "flash B", "arena B", "compile s", "board = twin", "instructions", "a MAC"),
    *("worst", "rms", "spread"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One network: exact counts, CPU seconds of the compiler, distances to onnxruntime in steps of the output.

    `rms_lsb` and `worst_lsb` are of the difference, `spread_lsb` of onnxruntime's outputs around their mean.
    """

    name: str
    compile_seconds: float
    result: Evaluation
    worst_lsb: float
    rms_lsb: float
    spread_lsb: float


def export(network: Network) -> bytes:
    """Return a torch module as ONNX, batch open."""
    module, shape = network
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # the exporter's own, about itself
        file = Path(folder) / "network.onnx"
        torch.onnx.export(
            module.eval(),
            (torch.zeros(1, *shape),),
            file,
            dynamo=False,
            opset_version=OPSET,
            input_names=["x"],
            dynamic_axes={"x": {0: "n"}},
        )
        return file.read_bytes()


def randomize(module: nn.Module, seed: int) -> None:
    """Give layers weights that keep the spread of activations, and batch norms statistics that do something."""
    random = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=random)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            assert layer.running_mean is not None and layer.running_var is not None
            layer.running_mean.normal_(0, 0.1, generator=random)
            layer.running_var.uniform_(0.5, 1.5, generator=random)
            layer.weight.data.uniform_(0.7, 1.3, generator=random)


def measure(name: str, board: BoardConfig, cache: Path) -> Row:
    """Take one network all the way."""
    torch.manual_seed(0)
    network = FAMILIES[name]()
    randomize(network[0], seed=1)
    images = np.random.default_rng(2).normal(size=(CALIBRATION, *network[1])).astype(np.float32)
    model = quantize_onnx(export(network), images)
    start = time.process_time()
    compiled = compile_model(model, name, CompileOptions(board.target, Core(board.facts.core)))
    seconds = time.process_time() - start
    arrays = io.BytesIO()
    np.savez(arrays, x=images[:SAMPLES])
    result = evaluate(Request(compiled.library_zip, arrays.getvalue()), board, Workplace(cache))
    ours = [values for _, values in result.outputs] or on_twin(compiled.library_zip, images[:SAMPLES], cache)
    steps = [float(spec.scale or 1.0) for spec in compiled.manifest.outputs]
    return Row(name, seconds, result, *distances(ours, on_onnxruntime(model, images[:SAMPLES]), steps))


def on_twin(library_zip: bytes, images: Array, cache: Path) -> list[Array]:
    """Return the outputs of the portable twin on the host, as floats: of what does not fit the board."""
    library = read_library(library_zip)
    with Twin(library, cache, 600.0) as twin:
        outputs = twin.run((to_c(library.manifest.inputs[0], images),))
    return [from_c(spec, output) for spec, output in zip(library.manifest.outputs, outputs, strict=True)]


def on_onnxruntime(model: bytes, images: Array) -> list[Array]:
    """Return the outputs of the very file that was compiled, operator by operator in float."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    runs = [session.run(None, {"x": image[None]}) for image in images]
    return [np.concatenate(output) for output in zip(*runs, strict=True)]


def distances(ours: Sequence[Array], theirs: Sequence[Array], steps: Sequence[float]) -> tuple[float, float, float]:
    """Return the worst and root mean square difference and the spread of `theirs`, in steps, over all outputs."""
    apart = np.concatenate(
        [((a - b.reshape(a.shape)) / s).ravel() for a, b, s in zip(ours, theirs, steps, strict=True)]
    )
    spread = np.concatenate([((b - b.mean()) / s).ravel() for b, s in zip(theirs, steps, strict=True)])
    return float(np.abs(apart).max()), float(np.sqrt(np.mean(apart**2))), float(np.sqrt(np.mean(spread**2)))


def line(row: Row) -> str:
    """Return a network as a row of the table."""
    result, ran = row.result, row.result.performance
    if ran is None:
        lacking = (f"{f.memory} {f.needed:,} of {f.available:,} B" for f in result.fits if not f.ok)
        on_board = f"does not fit: {', '.join(lacking)} | | "
    else:
        on_board = (
            f"{'yes' if result.twin_equal else 'NO'} | {ran.instructions:,} | {ran.instructions / result.macs:.2f}"
        )
    sizes = f"{result.macs / 1e6:.1f} | {result.flash.total:,} | {result.sram.arena:,} | {row.compile_seconds:.1f}"
    return f"| {row.name} | {sizes} | {on_board} | {row.worst_lsb:.1f} | {row.rms_lsb:.2f} | {row.spread_lsb:.0f} |"


def document(lines: Sequence[str], board: str) -> str:
    """Return the results as Markdown."""
    return "\n".join(
        (
            "# Kinds of networks, from torch to the board",
            "",
            f"`python -m benchmarks.families --board {board}`: torch modules with seeded random weights, exported to",
            f"ONNX (opset {OPSET}), quantized, compiled (schedule auto, int8 interface, the core's kernels) and run on",
            f"the simulated {board}. Bytes and instructions are exact, seconds are CPU seconds of `compile_model` (the",
            f"machine's load moves them). `board = twin`: every output byte of {SAMPLES} inputs. The last three",
            "columns are about onnxruntime on the same file and inputs, in steps of the output: the largest and the",
            "root mean square difference, and the spread of onnxruntime's own outputs. It rounds floats between layers",
            "where int8 code requantizes, so that single steps add up over layers; a softmax at the end makes many of",
            "its own small steps of a large one of its input (FOMO).",
            "",
            f"| {' | '.join(_COLUMNS)} |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
            *lines,
            "",
        )
    )


def main() -> None:
    """Run what the command line names and print, and write if asked, the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("networks", nargs="*", metavar="NETWORK")
    parser.add_argument("--board", default="nucleo-l4r5zi", metavar="NAME")
    parser.add_argument("--output", type=Path, metavar="FILE.md")
    options = parser.parse_args()
    names = [n for n in FAMILIES if not options.networks or any(part in n for part in options.networks)]
    if not names:
        parser.error(f"no network has {options.networks} in its name: must be in one of {', '.join(FAMILIES)}")
    board, lines, failed = load_farm().board(options.board), [], False
    with tempfile.TemporaryDirectory() as cache:
        for name in names:
            try:
                row = measure(name, board, Path(cache))
            except FarmError as error:
                lines.append(f"| {name} | refused: {error} {'| ' * 9}|")
                failed = True
            else:
                lines.append(line(row))
                failed |= row.result.twin_equal is False
            print(lines[-1], flush=True)
            if options.output is not None:
                options.output.write_text(document(lines, options.board))
    sys.exit(failed)


if __name__ == "__main__":
    main()
