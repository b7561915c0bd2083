"""What the memory planner leaves to be proved, and how long it takes, on real models.

    python -m benchmarks.planning [--output FILE.md] [MODEL.tflite | MODEL.onnx]...

Per-layer schedules with each kernel set of the Cortex-M4. The bound is proved: no plan of the schedule can need less.
Seconds are processor time of planning alone, on this machine. Exit 1 where a gap is left.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.shared import SHARED_MODELS
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.passes.optimize import optimize
from services.compiler.pipeline import import_model
from services.compiler.planned import plan_network

KERNELS = (KernelSet.PORTABLE, KernelSet.THUMB2)


@dataclass(frozen=True, slots=True)
class Result:
    """The plan of one model with one kernel set."""

    model: str
    kernels: str
    arena_bytes: int
    bound_bytes: int
    gap_bytes: int
    algorithm: str
    seconds: float


def plan(model: Path, kernels: KernelSet) -> Result:
    """Plan one model."""
    graph = optimize(import_model(model.read_bytes(), model.name))
    start = time.process_time()
    found = plan_network(graph, kernels).plan
    seconds = time.process_time() - start
    sizes = found.arena_bytes, found.lower_bound_bytes, found.gap_bytes
    return Result(model.stem, kernels.value, *sizes, found.algorithm, seconds)


def table(results: Sequence[Result]) -> str:
    """Return the results as a Markdown table."""
    head = "| model | kernels | arena | lower bound | gap | algorithm | seconds |", "|---|---|---|---|---|---|---|"
    rows = (
        f"| {r.model} | {r.kernels} | {r.arena_bytes:,} | {r.bound_bytes:,} | {r.gap_bytes:,} | {r.algorithm} "
        f"| {r.seconds:.2f} |"
        for r in results
    )
    return "\n".join((*head, *rows))


def main() -> None:
    """Plan what the command line names and print, and write if asked, the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--output", type=Path, metavar="FILE.md")
    options = parser.parse_args()
    models = options.models or sorted(SHARED_MODELS.glob("*.tflite"))
    results = [plan(model, kernels) for model in models for kernels in KERNELS]
    print(table(results))
    if options.output is not None:
        intro = "# Memory plans of real models\n\n`python -m benchmarks.planning`: per-layer schedules, Cortex-M4.\n\n"
        options.output.write_text(f"{intro}{table(results)}\n")
    sys.exit(any(r.gap_bytes for r in results))


if __name__ == "__main__":
    main()
