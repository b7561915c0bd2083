"""Kernels wait little for the flash of an STM32L4: weights and code in use stay in its caches or in RAM."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.compiler.ir.ops import Activation
from services.compiler.options import CompileOptions, Core
from services.compiler.pipeline import compile_graph, compile_model
from services.evaluator.evaluate import Performance, Request, Workplace, evaluate
from services.evaluator.farm import load_farm
from tests.compiler.graph_maker import GraphMaker

MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"
OPTIONS = CompileOptions("nucleo-l4r5zi", Core.CORTEX_M4)


def run(library: bytes, cache: Path) -> Performance:
    found = evaluate(Request(library), load_farm().board("nucleo-l4r5zi"), Workplace(cache)).performance
    assert found is not None
    return found


@pytest.mark.skipif(not MODELS.is_dir(), reason="../shared/models is not here")
def test_keyword_spotting_waits_a_tenth_of_its_core_cycles_at_most(cache: Path) -> None:
    model = (MODELS / "kws_ref_model.tflite").read_bytes()
    found = run(compile_model(model, "kws_ref_model", OPTIONS).library_zip, cache)
    assert found.core_cycles < found.cycles <= 1.1 * found.core_cycles


def test_large_depthwise_filters_with_a_relu_stay_in_the_instruction_cache(cache: Path) -> None:
    m = GraphMaker(name="large_filters")
    graph = m.build(m.depthwise(m.input(1, 10, 10, 64), kernel=(5, 5), activation=Activation.RELU))
    found = run(compile_graph(graph, graph, OPTIONS).library_zip, cache)
    assert found.cycles <= 1.1 * found.core_cycles
