"""Channels-first models whose floats are quantized on the board: outputs and memory under every schedule."""

from __future__ import annotations

import io
from functools import cache as remembered
from pathlib import Path

import numpy as np
import pytest

from services.compiler.ir.graph import Graph
from services.compiler.options import CompileOptions, Core, Interface
from services.compiler.pipeline import compile_model, import_model
from services.compiler.quant.reference import run_graph
from services.compiler.quantize import quantize_onnx
from services.evaluator.evaluate import Evaluation, Request, Workplace, evaluate
from services.evaluator.farm import load_farm
from tests.compiler.quantize.float_models import FloatBuilder

BOARDS = {"nucleo-l4r5zi": (Core.CORTEX_M4, 3), "rp2040": (Core.CORTEX_M0PLUS, 2)}
SCHEDULES = [("per-layer", False), ("streaming", False), ("patch:2x2", False), ("streaming", True), ("patch:2x2", True)]


@remembered
def channels_first(channels: int) -> tuple[bytes, Graph, np.ndarray]:
    """A quantized model [n, C, 16, 12] to [n, 2, 4, 3], the graph as imported, and a sample: some values saturate."""
    b = FloatBuilder(channels, ("n", channels, 16, 12))
    x = b.node("Relu", [b.conv("x", channels, 24, 3)])
    x = b.node("Relu", [b.conv(x, 24, 24, 3, stride=2, group=24)])
    model = b.build(b.conv(x, 24, 2, 3, stride=2))
    random = np.random.default_rng(channels)
    quantized = quantize_onnx(model, random.normal(size=(4, channels, 16, 12)).astype(np.float32))
    samples = random.normal(size=(1, channels, 16, 12), scale=3).astype(np.float32)
    return quantized, import_model(quantized, "net"), samples


def measured(board: str, schedule: str, pulled: bool, interface: Interface, cache: Path) -> Evaluation:
    core, channels = BOARDS[board]
    model, _, samples = channels_first(channels)
    options = CompileOptions(board, core, schedule, interface, pull_input=pulled)
    arrays = io.BytesIO()
    np.savez(arrays, x=samples)
    request = Request(compile_model(model, "net", options).library_zip, arrays.getvalue())
    return evaluate(request, load_farm().board(board), Workplace(cache, 120))


@pytest.mark.parametrize(("schedule", "pulled"), SCHEDULES)
@pytest.mark.parametrize("board", BOARDS)
def test_floats_in_the_models_order_give_the_bits_of_the_model(
    board: str, schedule: str, pulled: bool, cache: Path
) -> None:
    _, graph, samples = channels_first(BOARDS[board][1])
    found = measured(board, schedule, pulled, Interface.FLOAT, cache)
    assert found.twin_equal is True
    assert found.schedule == schedule.partition(":")[0] and found.pulled_input is pulled
    (_, outputs) = found.outputs[0]
    for sample, output in zip(samples, outputs, strict=True):
        np.testing.assert_array_equal(output, run_graph(graph, [sample[np.newaxis]])[0][0])
    assert found.performance is not None
    kinds = [layer.op for layer in found.performance.layers]
    first = (["PullRows"] if pulled else []) + ([] if pulled and found.schedule == "patch" else ["Quantize"])
    assert "Transpose" not in kinds and kinds[: len(first) + 1] == [*first, "Conv2D"] and kinds[-1] == "Dequantize"


@pytest.mark.parametrize("schedule", ["streaming", "patch"])
def test_pulled_floats_need_no_more_than_pulled_integers_but_for_their_rows(schedule: str) -> None:
    model, _, _ = channels_first(3)
    arena = {}
    for interface in Interface:
        options = CompileOptions("nucleo-l4r5zi", Core.CORTEX_M4, schedule, interface, pull_input=True)
        arena[interface] = compile_model(model, "net", options).manifest.memory.arena
    row_bytes = 12 * 3 * 4
    assert arena[Interface.FLOAT] <= arena[Interface.INT8] + 2 * row_bytes
