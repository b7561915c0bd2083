"""Random inputs a model: outputs of the simulated board, core kernels, beside those of the portable host twin.

    python -m benchmarks.equality [--samples N] [--board NAME] [--output FILE.md] [MODEL.tflite | MODEL.onnx]...

Without models it takes the five of the acceptance table in ../shared/models. Samples are in turn noise over the whole
range, noise of less contrast, and patches of few random values, as large as half an image: what networks make of noise
alone is often one answer. Every output byte is compared. Exit 1 if any differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.shared import SHARED_MODELS
from services.compiler.options import CompileOptions, Core, Kernels
from services.compiler.pipeline import compile_model
from services.evaluator.boards.board import Region, Write
from services.evaluator.boards.unicorn import UnicornBoard
from services.evaluator.farm import BoardConfig, load_farm
from services.evaluator.image import build_image
from services.evaluator.library import CLibrary, read_library
from services.evaluator.manifest import TensorSpec
from services.evaluator.toolchain import Toolchain
from services.evaluator.twin import Twin

Array = npt.NDArray[Any]

MODELS = ("ad01_int8", "kws_ref_model", "vww_96_int8", "pretrainedResnet_quant", "mcunet_vww1")
CHUNK = 50
BUDGET_INSTRUCTIONS = 2_000_000_000
TIME_LIMIT_S = 600.0


@dataclass(frozen=True, slots=True)
class Result:
    """How one model's board and twin compare; `different` counts samples with any unequal output byte."""

    model: str
    samples: int
    distinct: int
    different: int
    seconds: float


def random_inputs(specs: Sequence[TensorSpec], count: int, rng: np.random.Generator) -> tuple[Array, ...]:
    """Return `count` samples of every input in the C code's types."""
    return tuple(_random(spec, count, rng) for spec in specs)


def _random(spec: TensorSpec, count: int, rng: np.random.Generator) -> Array:
    """Values of -1 to 1, brought to the type's range: floats to -4 to 4."""
    dtype = np.dtype(spec.dtype)
    drawn = np.stack([_draw(spec.shape, index, rng) for index in range(count)])
    if dtype.kind == "f":
        return (4 * drawn).astype(dtype)
    limits = np.iinfo(dtype)
    middle, reach = (limits.max + limits.min + 1) / 2, (limits.max - limits.min + 1) / 2
    return np.clip(np.floor(middle + reach * drawn), limits.min, limits.max).astype(dtype)


def _draw(shape: tuple[int, ...], index: int, rng: np.random.Generator) -> Array:
    match index % 3:
        case 0:
            return rng.uniform(-1, 1, shape)
        case 1:
            return np.clip(rng.uniform(-1, 1) + rng.uniform(0, 0.5) * rng.uniform(-1, 1, shape), -1, 1)
    values = rng.uniform(-1, 1, shape)
    for axis in range(1, max(2, len(shape) - 1)):
        side = int(rng.integers(1, shape[axis] // 2 + 2))
        values = np.take(values, np.arange(shape[axis]) // side, axis=axis)
    return values


def compare(model: Path, board: BoardConfig, samples: int, cache: Path) -> Result:
    """Compile one model with the core's kernels and run every sample on board and twin."""
    options = CompileOptions(board.target, Core(board.facts.core), kernels=Kernels.CORE)
    library = read_library(compile_model(model.read_bytes(), model.name, options).library_zip)
    image = build_image(library, board.facts, Toolchain("zig", cache), board.port)
    rng, start = np.random.default_rng(0), time.perf_counter()
    different, seen = 0, set()
    with Twin(library, cache, TIME_LIMIT_S) as twin, UnicornBoard(cache, TIME_LIMIT_S) as unicorn:
        unicorn.flash(image)
        for first in range(0, samples, CHUNK):
            inputs = random_inputs(library.manifest.inputs, min(CHUNK, samples - first), rng)
            wanted = twin.run(inputs)
            for index, outputs in enumerate(on_board(unicorn, library, inputs)):
                different += any(raw != w[index].tobytes() for raw, w in zip(outputs, wanted, strict=True))
                seen.add(outputs)
    return Result(model.stem, samples, len(seen), different, time.perf_counter() - start)


def on_board(board: UnicornBoard, library: CLibrary, inputs: tuple[Array, ...]) -> list[tuple[bytes, ...]]:
    """Return the bytes of every output of every sample."""
    reads = tuple(Region(spec.offset_bytes, spec.size_bytes) for spec in library.manifest.outputs)
    offsets = [spec.offset_bytes for spec in library.manifest.inputs]
    return [
        board.run(
            tuple(Write(at, np.ascontiguousarray(x[i]).tobytes()) for at, x in zip(offsets, inputs, strict=True)),
            reads,
            BUDGET_INSTRUCTIONS,
        ).outputs
        for i in range(len(inputs[0]))
    ]


def table(results: Sequence[Result], board: str, command: str) -> str:
    """Return the results as a Markdown document."""
    rows = [f"| {r.model} | {r.samples:,} | {r.distinct:,} | {r.different} | {r.seconds:.0f} |" for r in results]
    return "\n".join(
        (
            "# Board and host twin on random inputs",
            "",
            f"`{command}`: the core's kernels on the simulated {board} against the portable twin on the host, every",
            "output byte. Distinct outputs tell that the inputs reached them.",
            "",
            "| model | random inputs | distinct outputs | inputs with a difference | seconds |",
            "|---|---|---|---|---|",
            *rows,
            "",
        )
    )


def main() -> None:
    """Compare what the command line names and print, and write if asked, the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--board", default="nucleo-l4r5zi", metavar="NAME")
    parser.add_argument("--output", type=Path, metavar="FILE.md")
    options = parser.parse_args()
    models = options.models or [SHARED_MODELS / f"{name}.tflite" for name in MODELS]
    board = load_farm().board(options.board)
    command = f"python -m benchmarks.equality --samples {options.samples} --board {options.board}"
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as cache:
        for model in models:
            results.append(compare(model, board, options.samples, Path(cache)))
            print(results[-1], flush=True)
            if options.output is not None:
                options.output.write_text(table(results, options.board, command))
    print(table(results, options.board, command))
    sys.exit(any(r.different for r in results))


if __name__ == "__main__":
    main()
