"""Real models on every board, beside what TensorFlow Lite Micro computes: bit for bit, on every recorded input.

    python -m benchmarks.golden [--board NAME]... [--schedule NAME] [--output FILE.md] [MODEL]...

Runs `tinyfarm run`'s own path through a stack (TINYFARM_SERVER, or one that is started) with the models and recorded
outputs of ../shared. A model that does not fit its board is told and is no mistake. Exit 1 on any difference.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.shared import GOLDEN, SHARED_MODELS
from tinyfarm.cli.connect import connected
from tinyfarm.client import Client
from tinyfarm.up import COMPILE_AND_RUN

BOARDS = ("nucleo-l4r5zi", "stm32f746", "nucleo-u575zi", "rp2040")


@dataclass(frozen=True, slots=True)
class Result:
    """One model on one board; `misfit` says what is too small where it does not fit."""

    model: str
    board: str
    samples: int
    equal: bool
    twin_equal: bool
    instructions: int
    misfit: str = ""


def compare(client: Client, model: Path, board: str, schedule: str) -> Result:
    """Run every recorded input and compare bytes."""
    with np.load(GOLDEN / f"{model.stem}.npz") as golden:
        inputs, wanted = golden["input"], golden["output"]
    ran = client.run(model, inputs, board=board, schedule=schedule)
    found = ran.evaluation
    if not found.fits:
        return Result(model.stem, board, 0, False, False, 0, found.misfits[0].memory)
    (output,) = ran.outputs.values()
    equal = output.dtype == wanted.dtype and output.tobytes() == wanted.tobytes()
    return Result(model.stem, board, len(inputs), equal, found.twin_equal, int(found.instructions.value))


def table(results: Sequence[Result], command: str) -> str:
    """Return the results as a Markdown document."""
    fitting = [r for r in results if not r.misfit]
    equal, twins = sum(r.equal for r in fitting), sum(r.twin_equal for r in fitting)
    return "\n".join(
        (
            "# Real models on simulated boards",
            "",
            f"`{command}`: {len(fitting)} of {len(results)} pairs of a model and a board fit; outputs equal TensorFlow",
            f"Lite Micro's bit for bit in **{equal} of {len(fitting)}**, the host twin's in {twins}. Instructions are",
            "exact counts of the first sample.",
            "",
            "| model | board | samples | TFLM | twin | instructions |",
            "|---|---|---|---|---|---|",
            *map(_row, results),
            "",
        )
    )


def _row(r: Result) -> str:
    if r.misfit:
        return f"| {r.model} | {r.board} | | does not fit: {r.misfit} | | |"
    words = ("equal" if same else "DIFFERENT" for same in (r.equal, r.twin_equal))
    return f"| {r.model} | {r.board} | {r.samples} | {' | '.join(words)} | {r.instructions:,} |"


def main() -> None:
    """Compare what the command line names and print, and write if asked, the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--board", action="append", dest="boards", metavar="NAME")
    parser.add_argument("--schedule", default="auto", metavar="NAME", help="as of `tinyfarm run`; auto")
    parser.add_argument("--output", type=Path, metavar="FILE.md")
    options = parser.parse_args()
    models = options.models or sorted(SHARED_MODELS.glob("*.tflite"))
    results: list[Result] = []
    with connected(None, COMPILE_AND_RUN) as client:
        for board in options.boards or BOARDS:
            for model in models:
                results.append(compare(client, model, board, options.schedule))
                print(results[-1], flush=True)
    asked = "" if options.schedule == "auto" else f" --schedule {options.schedule}"
    text = table(results, f"python -m benchmarks.golden{asked}")
    print(text)
    if options.output is not None:
        options.output.write_text(text)
    sys.exit(not all(r.misfit or (r.equal and r.twin_equal) for r in results))


if __name__ == "__main__":
    main()
