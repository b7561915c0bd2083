"""Cortex-M33 runs what Cortex-M4 runs: its instructions stay within 5 % on real models."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.compiler.options import CompileOptions, Core
from services.compiler.pipeline import compile_model
from services.evaluator.evaluate import Request, Workplace, evaluate
from services.evaluator.farm import load_farm
from tests.cores.packed import CACHE

MODELS = Path(__file__).parents[3] / "shared" / "models"


def instructions(model: Path, board_name: str) -> int:
    board = load_farm().board(board_name)
    options = CompileOptions(board.target, Core(board.facts.core))
    result = evaluate(
        Request(compile_model(model.read_bytes(), model.name, options).library_zip), board, Workplace(CACHE)
    )
    assert result.performance is not None
    assert result.twin_equal
    return result.performance.instructions


@pytest.mark.parametrize("name", ["ad01_int8"])
def test_m33_needs_the_instructions_of_m4(name: str) -> None:
    model = MODELS / f"{name}.tflite"
    if not model.exists():
        pytest.skip(f"{model} is not here")
    m4, m33 = (instructions(model, board) for board in ("nucleo-l4r5zi", "nucleo-u575zi"))
    assert abs(m33 / m4 - 1) <= 0.05
