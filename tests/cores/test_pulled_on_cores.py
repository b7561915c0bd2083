"""Inputs that a board asks its host for, with the cores' own kernels: outputs, and nothing of the image held."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from services.compiler.options import CompileOptions, Core
from services.compiler.pipeline import compile_graph
from services.compiler.quant.reference import run_graph
from services.evaluator.evaluate import Request, Workplace, evaluate
from services.evaluator.farm import load_farm
from tests.compiler.graph_maker import random_inputs
from tests.compiler.schedule.test_streaming import bottlenecks


@pytest.mark.parametrize(
    ("board", "core", "schedule"),
    [
        ("nucleo-l4r5zi", Core.CORTEX_M4, "streaming"),
        ("nucleo-l4r5zi", Core.CORTEX_M4, "patch:2x2"),
        ("rp2040", Core.CORTEX_M0PLUS, "streaming"),
    ],
)
def test_board_that_pulls_equals_reference_and_twin(board: str, core: Core, schedule: str, cache: Path) -> None:
    graph = bottlenecks(size=32, name="pulled on a core")
    compiled = compile_graph(graph, graph, CompileOptions(board, core, schedule, pull_input=True))
    assert compiled.manifest.twin is not None
    assert not compiled.manifest.twin.inputs[0].pulled
    images = [random_inputs(graph, seed) for seed in (1, 2)]
    arrays = io.BytesIO()
    np.savez(arrays, x=np.concatenate([image for (image,) in images]))
    found = evaluate(Request(compiled.library_zip, arrays.getvalue()), load_farm().board(board), Workplace(cache, 120))
    assert found.pulled_input
    assert found.twin_equal is True
    for got, image in zip(found.outputs[0][1], images, strict=True):
        np.testing.assert_array_equal(got, run_graph(graph, image)[0][0])
    (held,) = (buffer for buffer in compiled.manifest.layers[0].buffers if buffer.kind == "input")
    assert held.size_bytes < compiled.manifest.inputs[0].size_bytes
