"""gcc and zig make code of the same speed: what is hot is assembly, alike for both."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from services.compiler.options import CompileOptions, Core
from services.compiler.pipeline import compile_model
from services.evaluator.evaluate import Evaluation, Request, Workplace, evaluate
from services.evaluator.farm import load_farm
from services.evaluator.toolchain import ToolchainKind

MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"
# the board's flash has no caches in the model: what counts here are instructions
BOARD = "nano33ble"

pytestmark = [
    pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="arm-none-eabi-gcc is not on the PATH"),
    pytest.mark.skipif(not MODELS.is_dir(), reason="../shared/models is not here"),
]


def evaluated(model: Path, toolchain: ToolchainKind, cache: Path) -> Evaluation:
    board = load_farm().board(BOARD)
    library = compile_model(model.read_bytes(), model.stem, CompileOptions(board.target, Core(board.facts.core)))
    return evaluate(Request(library.library_zip, toolchain=toolchain), board, Workplace(cache))


@pytest.mark.parametrize("name", ["kws_ref_model", "micro_speech_quantized"])
def test_gcc_needs_as_many_instructions_as_zig_within_a_twentieth(name: str, cache: Path) -> None:
    zig, gcc = (evaluated(MODELS / f"{name}.tflite", kind, cache) for kind in ("zig", "gcc"))  # type: ignore[arg-type]
    assert zig.performance is not None
    assert gcc.performance is not None
    assert gcc.outputs[0][1].tobytes() == zig.outputs[0][1].tobytes()
    assert gcc.twin_equal
    assert abs(gcc.performance.instructions / zig.performance.instructions - 1) <= 0.05
