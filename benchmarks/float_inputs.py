"""Channels-first torch networks with integer and with float inputs, under every schedule, run on a simulated board.

    python -m benchmarks.float_inputs [NETWORK]...

NETWORK is a name in `benchmarks/torch_networks.py`; weights are random (seeded). SRAM has the stack; instructions are
exact counts. Exit 1 if a board's output differs from the host twin's.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.families import CALIBRATION, export, randomize
from benchmarks.torch_networks import FAMILIES
from services.compiler.options import CompileOptions, Core, Interface
from services.compiler.pipeline import compile_model
from services.compiler.quantize import quantize_onnx
from services.evaluator.evaluate import Request, Workplace, evaluate
from services.evaluator.farm import load_farm

BOARD, CORE = "nucleo-l4r5zi", Core.CORTEX_M4
NETWORKS = ("MobileNetV1 0.25/96", "FOMO 96")
SCHEDULES = (
    *(("per-layer", False), ("streaming", False), ("patch", False)),
    *(("streaming", True), ("patch", True)),
)


def rows(name: str, workplace: Workplace) -> Iterator[tuple[str, bool]]:
    """Yield a row of the table for every schedule and interface, and whether the board's output is the twin's."""
    torch.manual_seed(0)
    network = FAMILIES[name]()
    randomize(network[0], seed=1)
    images = np.random.default_rng(2).normal(size=(CALIBRATION, *network[1])).astype(np.float32)
    model, board = quantize_onnx(export(network), images), load_farm().board(BOARD)
    arrays = io.BytesIO()
    np.savez(arrays, x=images[:1])
    for schedule, pulled in SCHEDULES:
        for interface in Interface:
            options = CompileOptions(board.target, CORE, schedule, interface, pull_input=pulled)
            library = compile_model(model, name, options).library_zip
            found = evaluate(Request(library, arrays.getvalue()), board, workplace)
            if found.performance is None:
                yield f"| {name} | {interface.value} | {schedule} | does not fit | | |", True
                continue
            asked = f"`{schedule}{' --pull-input' if pulled else ''}`"
            numbers = f"{found.sram.arena:,} | {found.sram.total:,} | {found.performance.instructions:,}"
            yield f"| {name} | {asked} | {interface.value} | {found.schedule} | {numbers} |", found.twin_equal is True


def main() -> None:
    """Print the table as markdown."""
    wrong = False
    print(
        "| network | schedule | interface | chosen | arena | SRAM total | instructions |\n|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as cache:
        for name in sys.argv[1:] or NETWORKS:
            for row, equal in rows(name, Workplace(Path(cache))):
                wrong |= not equal
                print(row if equal else f"{row} DIFFERENT from the twin", flush=True)
    sys.exit(wrong)


if __name__ == "__main__":
    main()
