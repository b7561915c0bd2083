"""The whole evaluation of small libraries: figures that can be checked by hand, fits, accuracy, faults."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.common.boards import BoardUnknownError
from services.common.host_compiler import ToolchainError, ToolchainMissingError
from services.common.npz import ArraysError
from services.evaluator.errors import EndlessLoopFault
from services.evaluator.evaluate import Request, Workplace, evaluate
from services.evaluator.farm import load_farm
from tests.evaluator.c_library import IN, Recipe, expected, files, library, zipped

X = np.random.default_rng(5).integers(-128, 128, (12, IN), dtype=np.int8)
Q = np.stack([expected(x) for x in X])


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.fixture
def workplace(cache: Path) -> Workplace:
    return Workplace(cache, 120)


def test_float_model_is_quantized_outside_and_every_figure_is_there(workplace: Workplace) -> None:
    floats = ((X.astype(np.float32) - 3) * np.float32(0.5)).astype(np.float32)
    found = evaluate(Request(library(), npz(x=floats)), load_farm().board("nano33ble"), workplace)
    (name, outputs), performance = found.outputs[0], found.performance
    assert name == "out"
    np.testing.assert_array_equal(outputs, (Q.astype(np.float32) - 3) * np.float32(0.5))
    assert found.twin_equal is True
    assert (found.samples, found.board_samples) == (12, 12)
    assert (found.sram.input, found.sram.activations, found.sram.arena, found.sram.static) == (64, 16, 80, 0)
    assert found.sram.stack is not None
    assert found.sram.total == 80 + found.sram.stack
    assert (found.flash.weights, found.flash.total) == (680, found.flash.code + 680 + found.flash.tables)
    assert performance is not None
    assert performance.cycles_kind == "modelled"
    assert performance.latency_us == pytest.approx(performance.cycles / 64)
    assert performance.energy is not None
    assert performance.energy.energy_uj == pytest.approx(performance.cycles * 52 * 3.0 * 1e-6)
    assert sum(layer.instructions for layer in performance.layers) + performance.glue_instructions == (
        performance.instructions
    )


def test_pulled_input_is_evaluated_as_one_that_is_held(workplace: Workplace) -> None:
    images = ((X.astype(np.float32) - 3) * np.float32(0.5)).astype(np.float32).reshape(-1, 8, 8, 1)
    found = evaluate(Request(library(Recipe(pulled=True)), npz(x=images)), load_farm().board("nano33ble"), workplace)
    np.testing.assert_array_equal(found.outputs[0][1], (Q.astype(np.float32) - 3) * np.float32(0.5))
    assert found.twin_equal is True
    assert found.board_samples == 12


def test_unknown_energy_is_none_and_not_a_guess(workplace: Workplace) -> None:
    performance = evaluate(Request(library()), load_farm().board("rp2040"), workplace).performance
    assert performance is not None
    assert performance.energy is None
    assert "not validated" in performance.cycles_source


def test_accuracy_is_over_all_samples_and_the_board_runs_some(workplace: Workplace) -> None:
    labels = Q.argmax(axis=1)
    labels[:3] = (labels[:3] + 1) % 10
    recipe = Recipe(interface="float")
    found = evaluate(
        Request(library(recipe), npz(x=X, y=labels), board_samples=2, accuracy=True),
        load_farm().board("nucleo-l4r5zi"),
        workplace,
    )
    assert found.accuracy is not None
    assert (found.accuracy.correct, found.accuracy.samples, found.accuracy.value) == (9, 12, 0.75)
    assert (found.board_samples, found.twin_equal) == (2, True)


BAD_DATA = {
    "no labels": (npz(x=X), "no array 'y'"),
    "labels beyond the classes": (npz(x=X, y=np.full(12, 10)), "labels run from 10 to 10"),
}


@pytest.mark.parametrize(("arrays", "words"), BAD_DATA.values(), ids=BAD_DATA.keys())
def test_accuracy_needs_labels(workplace: Workplace, arrays: bytes, words: str) -> None:
    request = Request(library(Recipe(interface="float")), arrays, board_samples=1, accuracy=True)
    with pytest.raises(ArraysError, match=words):
        evaluate(request, load_farm().board("nucleo-l4r5zi"), workplace)


TOO_BIG = {
    "arena": (Recipe(arena=300_000), "sram", "fc"),
    "arena that leaves too little stack": (Recipe(arena=264 * 1024 - 900), "sram", "fc"),
    "weights": (Recipe(flash_filler=3 << 20), "flash", None),
}


@pytest.mark.parametrize(("recipe", "memory", "layer"), TOO_BIG.values(), ids=TOO_BIG.keys())
def test_model_that_does_not_fit_is_measured_but_not_run(
    workplace: Workplace, recipe: Recipe, memory: str, layer: str | None
) -> None:
    found = evaluate(Request(library(recipe)), load_farm().board("rp2040"), workplace)
    assert not found.fitting
    (broken,) = (fit for fit in found.fits if not fit.ok)
    assert (broken.memory, broken.layer) == (memory, layer)
    assert broken.needed > broken.available
    assert found.performance is None
    assert found.sram.arena == recipe.arena
    assert found.flash.weights == 680 + recipe.flash_filler


def test_runtime_routines_count_as_code(workplace: Workplace) -> None:
    board = load_farm().board("nucleo-l4r5zi")
    source = files(Recipe(body="uses_memcpy"))
    without = {**source, "tiny.c": source["tiny.c"].replace("__builtin_memcpy(out, in, (unsigned)n)", "(void)n")}
    found, bare = (evaluate(Request(zipped(text)), board, workplace).flash for text in (source, without))
    assert found.code - bare.code > 100, "memcpy itself is some hundred bytes"


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="arm-none-eabi-gcc is not installed")
@pytest.mark.parametrize("board", ["nucleo-l4r5zi", "rp2040", "stm32f746", "nucleo-u575zi"])
def test_gcc_builds_the_same_library(workplace: Workplace, board: str) -> None:
    request = Request(library(Recipe(interface="float")), npz(x=X), toolchain="gcc")
    found = evaluate(request, load_farm().board(board), workplace)
    np.testing.assert_array_equal(found.outputs[0][1], Q)
    assert found.twin_equal


def test_gcc_that_is_missing_is_one_clear_error(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolchainMissingError, match="arm-none-eabi-gcc is not on the PATH"):
        evaluate(Request(library(), toolchain="gcc"), load_farm().board("rp2040"), workplace)


def test_band_of_a_target_with_published_rows_surrounds_the_cycles(workplace: Workplace) -> None:
    performance = evaluate(Request(library()), load_farm().board("nucleo-l4r5zi"), workplace).performance
    assert performance is not None
    assert performance.cycles_low == pytest.approx(0.88 * performance.cycles)
    assert performance.cycles_high == pytest.approx(1.12 * performance.cycles)
    assert "+-12 %" in performance.cycles_source


def test_endless_loop_is_found_before_the_twin_runs(workplace: Workplace) -> None:
    with pytest.raises(EndlessLoopFault):
        evaluate(Request(library(Recipe(body="endless"))), load_farm().board("nucleo-l4r5zi"), workplace)


def test_compile_error_shows_the_compilers_first_lines(workplace: Workplace) -> None:
    broken = zipped({**files(Recipe()), "tiny.c": "int tiny_invoke(void *arena) { return nonsense; }"})
    with pytest.raises(ToolchainError, match="nonsense"):
        evaluate(Request(broken), load_farm().board("nucleo-l4r5zi"), workplace)


def test_unknown_board_names_the_allowed_ones() -> None:
    with pytest.raises(BoardUnknownError) as caught:
        load_farm().board("esp32")
    assert "nano33ble" in caught.value.allowed
