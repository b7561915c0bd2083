"""Exact instruction counts against an independent simulator: QEMU with one virtual nanosecond an instruction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.compiler.options import CompileOptions, Core
from services.compiler.pipeline import compile_model
from services.evaluator.boards.board import Region, Write
from services.evaluator.boards.qemu import INSTRUCTIONS_PER_TICK, QemuBoard, qemu_installed
from services.evaluator.boards.unicorn import UnicornBoard
from services.evaluator.image import build_image
from services.evaluator.library import read_library
from services.evaluator.measure.latency import Counter
from services.evaluator.protocol import PulledInput
from services.evaluator.toolchain import Toolchain
from tests.evaluator.c_library import Recipe, library
from tests.evaluator.test_board_contract import qemu_target

MODELS = Path(__file__).parents[3] / "shared" / "models"
ALLOWED = 1e-4

pytestmark = pytest.mark.skipif(not qemu_installed(), reason="qemu-system-arm is not installed")


def compiled(model: str) -> bytes:
    path = MODELS / f"{model}.tflite"
    if not path.exists():
        pytest.skip(f"{path} is not there: the shared models come separately")
    return compile_model(path.read_bytes(), model, CompileOptions("nucleo-l4r5zi", Core.CORTEX_M4)).library_zip


def counts(archive: bytes, core_of: str, cache: Path) -> tuple[int, int]:
    """Return the instructions of one invoke as counted by us and by QEMU, on the same library objects."""
    checked, target, toolchain = read_library(archive), qemu_target(core_of), Toolchain("zig", cache)
    rng = np.random.default_rng(11)
    drawn = [rng.integers(0, 256, spec.size_bytes, dtype=np.uint8).tobytes() for spec in checked.manifest.inputs]
    specs = zip(checked.manifest.inputs, drawn, strict=True)
    writes = tuple(Write(spec.offset_bytes, data) for spec, data in specs if not spec.pulled)
    pulled = None
    if (image := checked.manifest.pulled) is not None:
        pulled = PulledInput(drawn[0], image.size_bytes // image.shape[1])
    reads = tuple(Region(spec.offset_bytes, spec.size_bytes) for spec in checked.manifest.outputs)
    ours = build_image(checked, target, toolchain)
    with UnicornBoard(cache, 120) as board:
        board.flash(ours)
        run = board.run(writes, reads, 10**9, pulled)
    with QemuBoard(120) as oracle:
        oracle.flash(build_image(checked, target, toolchain, "semihosting"))
        its = oracle.run(writes, reads, 0, pulled)
    assert run.outputs == its.outputs
    assert run.stack_bytes == its.stack_bytes or pulled  # lines to the host differ
    assert run.profile is not None
    return Counter(ours).timing(run.profile).total.instructions, its.counter * INSTRUCTIONS_PER_TICK


@pytest.mark.parametrize("model", ["kws_ref_model", "vww_96_int8", "pretrainedResnet_quant"])
def test_real_models_agree_with_qemu(model: str, cache: Path) -> None:
    ours, its = counts(compiled(model), "nucleo-l4r5zi", cache)
    assert ours >= 1_000_000
    assert abs(ours - its) <= ALLOWED * its


@pytest.mark.parametrize("pulled", [False, True])
@pytest.mark.parametrize("core_of", ["nucleo-l4r5zi", "stm32f746"])
def test_hand_written_library_agrees_with_qemu(core_of: str, pulled: bool, cache: Path) -> None:
    """Rows of a pulled input cost some 10,000 instructions of the harness, which neither counts."""
    ours, its = counts(library(Recipe(repeats=2000, pulled=pulled)), core_of, cache)
    assert ours >= 1_000_000
    assert abs(ours - its) <= ALLOWED * its
