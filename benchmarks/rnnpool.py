"""What RNNPool saves: a person detector of 96 x 96 pixels whose first layers it replaces, compiled and run.

    python -m benchmarks.rnnpool [--board NAME] [--json]

MobileNetV2 0.35 with two classes, as it is; with its blocks down to 12 x 12 pixels replaced by RNNPool behind the
stem, as Saha et al. do (NeurIPS 2020, section 5); and with everything down to 12 x 12 replaced, stem too. Weights are
random: memory and time do not depend on them, accuracy is no subject here. Every network is exported from torch,
quantized, compiled and run on a simulated board; its outputs are compared with the host twin's and with the numpy
reference's, bit for bit.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.networks import mobilenet_v2
from services.compiler.options import CompileOptions, Core, Interface
from services.compiler.pipeline import compile_model
from services.compiler.quant.reference import run_graph
from services.compiler.quantize import quantize_onnx
from services.evaluator.evaluate import Request, Workplace, evaluate
from services.evaluator.farm import BoardConfig, load_farm
from services.search.export import export_onnx
from services.search.space.plan import BlockPlan, Plan, RnnPoolPlan
from services.search.supernet.net import seeded_net

SIDE, SAMPLES, CALIBRATION = 96, 3, 16
HIDDEN = SUMMARY = 8
# The blocks of MobileNetV2 that write 12 x 12 pixels and more of an image of 96: stem, then 1, 2 and 3 of them.
LARGE_BLOCKS = 1 + 1 + 2 + 3


@dataclass(frozen=True, slots=True)
class Row:
    """One network as measured; `exact` tells that board, twin and reference agree on every sample."""

    name: str
    macs: int
    sram_bytes: dict[str, int]
    flash_bytes: dict[str, int]
    instructions: int
    cycles: float
    latency_ms: float
    exact: bool


def variants() -> Iterator[tuple[str, Plan]]:
    """Yield the network as it is, and with its first layers replaced."""
    plan = mobilenet_v2(0.35, SIDE, classes=2)
    stem = plan.blocks[0]
    yield "as it is", plan
    behind = RnnPoolPlan("pool", stem.out_channels, HIDDEN, SUMMARY, patch=6, stride=4, padding=1)
    yield "stem, RNNPool 6x6/4", _pooled(plan, replace(stem, pool=behind))
    at_once = RnnPoolPlan("pool", plan.input_channels, HIDDEN, SUMMARY, patch=8, stride=8)
    yield "RNNPool 8x8/8 on the image", _pooled(plan, BlockPlan((), pool=at_once))


def _pooled(plan: Plan, first: BlockPlan) -> Plan:
    """Put a block in the place of the large ones; the next one reads its channels."""
    following, *rest = plan.blocks[LARGE_BLOCKS:]
    expand, *others = following.convs
    convs = (replace(expand, in_channels=first.out_channels), *others)
    return replace(plan, blocks=(first, replace(following, convs=convs), *rest))


def measure(name: str, plan: Plan, board: BoardConfig, cache: Path) -> Row:
    """Export, quantize, compile and run a network."""
    images = np.random.default_rng(0).random((CALIBRATION, SIDE, SIDE, 3), dtype=np.float32)
    model = quantize_onnx(export_onnx(seeded_net(plan, 0).eval(), "person"), images)
    options = CompileOptions(board.target, Core(board.facts.core), interface=Interface.INT8)
    compiled = compile_model(model, "person", options)
    arrays = io.BytesIO()
    np.savez(arrays, x=images[:SAMPLES])
    result = evaluate(Request(compiled.library_zip, arrays.getvalue()), board, Workplace(cache))
    ran, outputs = result.performance, dict(result.outputs)
    if ran is None:
        raise SystemExit(f"{name} does not fit {board.name}")
    (source,), (slot,) = compiled.manifest.inputs, compiled.manifest.outputs
    assert source.zero_point is not None and slot.zero_point is not None  # int8 at both ends
    expected = []
    for image in images[:SAMPLES]:
        pixels = np.rint(image[None] / np.float32(source.scale)) + source.zero_point
        (values,) = run_graph(compiled.graph, (np.clip(pixels, -128, 127).astype(np.int8),))
        expected.append((values.astype(np.int32) - slot.zero_point).astype(np.float32) * np.float32(slot.scale))
    same = np.array_equal(np.concatenate(expected), outputs[slot.name].reshape(SAMPLES, -1))
    return Row(
        name=name,
        macs=result.macs,
        sram_bytes={**asdict(result.sram), "arena": result.sram.arena, "total": result.sram.total},
        flash_bytes={**asdict(result.flash), "total": result.flash.total},
        instructions=ran.instructions,
        cycles=ran.cycles,
        latency_ms=ran.latency_us / 1000,
        exact=bool(result.twin_equal) and same,
    )


def table(rows: list[Row], board: str) -> Table:
    """Return the table of all networks."""
    shown = Table(title=f"MobileNetV2 0.35 at {SIDE} x {SIDE} on {board}, per-layer (cycles modelled)")
    shown.add_column("first layers")
    for name in ("MACs", "arena", "SRAM", "flash", "instructions", "latency ms", "board = twin = reference"):
        shown.add_column(name, justify="right")
    for row in rows:
        sizes = (row.macs, row.sram_bytes["arena"], row.sram_bytes["total"], row.flash_bytes["total"], row.instructions)
        figures = [f"{n:,}" for n in sizes]
        shown.add_row(row.name, *figures, f"{row.latency_ms:.1f}", "yes" if row.exact else "NO")
    return shown


def main() -> None:
    """Measure all variants."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--board", default="nucleo-l4r5zi", metavar="NAME")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    board = load_farm().board(options.board)
    with tempfile.TemporaryDirectory() as cache:
        rows = [measure(name, plan, board, Path(cache)) for name, plan in variants()]
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        Console(width=140).print(table(rows, options.board))
    if not all(row.exact for row in rows):
        raise SystemExit("board, twin and reference differ")


if __name__ == "__main__":
    main()
