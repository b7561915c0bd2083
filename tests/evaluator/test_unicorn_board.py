"""The simulated board: faults by their type and place, time limits, and a process that never outlives its owner."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from services.common.targets import load_target
from services.evaluator.boards.board import Region, Write
from services.evaluator.boards.unicorn import UnicornBoard
from services.evaluator.errors import (
    BadAccessFault,
    BoardError,
    BoardTimeoutError,
    EndlessLoopFault,
    ModelRefusedFault,
    ProgramFault,
    StackOverflowFault,
    UndefinedInstructionFault,
)
from services.evaluator.image import Image, build_image
from services.evaluator.library import read_library
from services.evaluator.measure.latency import Counter
from services.evaluator.protocol import FrameType, PulledInput
from services.evaluator.toolchain import Toolchain
from tests.evaluator.c_library import Recipe, library

ROOT = Path(__file__).parents[2]
INPUT, OUTPUT = (Write(0, bytes(range(64))),), (Region(64, 10),)

FAULTS: dict[str, tuple[str, type[ProgramFault], str]] = {
    "wild pointer": ("wild", BadAccessFault, "read of 1 bytes at 0xb0000000 in layer 0"),
    "write to flash": ("flash_write", BadAccessFault, "write to read-only memory of 1 bytes at 0x08"),
    "undefined instruction": ("undefined", UndefinedInstructionFault, "cortex-m4 does not have in layer 0"),
    "endless loop": ("endless", EndlessLoopFault, "budget is used up in layer 0"),
    "stack overflow": ("stack", StackOverflowFault, "the stack grew below the SRAM"),
}


def image_of(recipe: Recipe, cache: Path, target: str = "nucleo-l4r5zi") -> Image:
    return build_image(read_library(library(recipe)), load_target(target), Toolchain("zig", cache))


@pytest.fixture
def board(cache: Path) -> Iterator[UnicornBoard]:
    with UnicornBoard(cache, 60) as opened:
        yield opened


@pytest.mark.parametrize(("body", "error", "words"), FAULTS.values(), ids=FAULTS.keys())
def test_fault_has_its_own_type_and_names_its_place(
    board: UnicornBoard, cache: Path, body: str, error: type[ProgramFault], words: str
) -> None:
    board.flash(image_of(Recipe(body=body), cache))
    with pytest.raises(ProgramFault) as caught:
        board.run(INPUT, OUTPUT, 1_000_000)
    assert type(caught.value) is error
    assert words in caught.value.message


@pytest.mark.parametrize("target", ["rp2040", "stm32f746", "stm32h743", "nucleo-u575zi", "nano33ble"])
def test_stack_overflow_is_told_on_every_memory_map(board: UnicornBoard, cache: Path, target: str) -> None:
    board.flash(image_of(Recipe(body="stack"), cache, target))
    with pytest.raises(StackOverflowFault):
        board.run(INPUT, OUTPUT, 10_000_000)


def test_what_rows_cost_is_not_counted(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that arrive spoiled are asked for again: more work of the harness, the same counts of the model."""
    spoiled, whole = [], UnicornBoard._write_line

    def spoil(board: UnicornBoard, data: bytes) -> None:
        if data[4] == FrameType.ROWS and len(spoiled) < 2:
            spoiled.append(data)
            data = data[:20] + bytes([data[20] ^ 1]) + data[21:]
        whole(board, data)

    image, runs = image_of(Recipe(pulled=True), cache), []
    for write in (whole, spoil):
        monkeypatch.setattr(UnicornBoard, "_write_line", write)
        with UnicornBoard(cache, 60) as board:
            board.flash(image)
            runs.append(board.run((), OUTPUT, 10_000_000, PulledInput(bytes(range(64)), 8)))
    assert len(spoiled) == 2
    assert runs[0].outputs == runs[1].outputs
    profiles = [run.profile for run in runs]
    assert profiles[0] is not None and profiles[1] is not None
    assert profiles[0].blocks == profiles[1].blocks
    harness = image.read_rows
    assert harness is not None
    inside = range(harness.address, harness.address + harness.size_bytes)
    assert not [b for b in profiles[0].blocks if b.address in inside]


def test_rows_that_never_arrive_whole_end_the_model(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = UnicornBoard._write_line

    def spoil(board: UnicornBoard, data: bytes) -> None:
        whole(board, data[:-1] + bytes([data[-1] ^ 1]) if data[4] == FrameType.ROWS else data)

    monkeypatch.setattr(UnicornBoard, "_write_line", spoil)
    with UnicornBoard(cache, 60) as board:
        board.flash(image_of(Recipe(pulled=True), cache))
        with pytest.raises(ModelRefusedFault, match="-100"):
            board.run((), OUTPUT, 10_000_000, PulledInput(bytes(64), 8))


def test_profile_counts_only_what_invoke_runs(board: UnicornBoard, cache: Path) -> None:
    counts = {}
    for repeats in (1, 11, 21):
        image = image_of(Recipe(repeats=repeats), cache)
        board.flash(image)
        profile = board.run(INPUT, OUTPUT, 10_000_000).profile
        assert profile is not None
        timing = Counter(image).timing(profile)
        assert timing.total.instructions == timing.glue.instructions + sum(w.instructions for w in timing.layers)
        assert timing.layers[0].instructions > 640
        counts[repeats] = timing
    assert counts[1].glue.instructions <= 12
    # Ten repeats more are the same number of instructions more: nothing else is in the count.
    assert counts[21].total.instructions - counts[11].total.instructions > 10 * 640


def test_profile_of_a_second_run_starts_from_zero(board: UnicornBoard, cache: Path) -> None:
    board.flash(image_of(Recipe(), cache))
    first, second = (board.run(INPUT, OUTPUT, 1_000_000).profile for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.blocks == second.blocks


def test_silent_board_is_killed_at_its_time_limit(cache: Path) -> None:
    with UnicornBoard(cache, 0.5) as board:
        board.flash(image_of(Recipe(body="endless"), cache))
        with pytest.raises(BoardTimeoutError, match=r"within 0\.5 s"):
            board.run(INPUT, OUTPUT, 10**12)
        board.reset()


def test_killed_process_is_an_error_and_reset_starts_another(board: UnicornBoard, cache: Path) -> None:
    board.flash(image_of(Recipe(), cache))
    good = board.run(INPUT, OUTPUT, 1_000_000).outputs
    for child in psutil.Process().children():
        if child.status() != psutil.STATUS_ZOMBIE and "unicorn_engine" in " ".join(child.cmdline()):
            child.kill()
            child.wait()
    with pytest.raises(BoardError):
        board.run(INPUT, OUTPUT, 1_000_000)
    board.reset()
    assert board.run(INPUT, OUTPUT, 1_000_000).outputs == good


OWNER = """
import sys, pathlib
from services.common.targets import load_target
from services.evaluator.boards.unicorn import UnicornBoard
from services.evaluator.boards.board import Region, Write
from services.evaluator.image import build_image
from services.evaluator.library import read_library
from services.evaluator.toolchain import Toolchain
from tests.evaluator.c_library import Recipe, library
cache = pathlib.Path(sys.argv[1])
board = UnicornBoard(cache, 600)
recipe = Recipe(body="endless")
board.flash(build_image(read_library(library(recipe)), load_target("nucleo-l4r5zi"), Toolchain("zig", cache)))
print(board._process.pid, flush=True)
board.run((Write(0, bytes(64)),), (Region(64, 10),), 10**15)
"""


def test_engine_dies_with_its_owner_in_the_middle_of_a_run(cache: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(cache)], stdout=subprocess.PIPE, cwd=ROOT)
    assert owner.stdout is not None
    engine = psutil.Process(int(owner.stdout.readline()))
    owner.kill()
    owner.wait()
    end = time.monotonic() + 10
    while engine.is_running() and engine.status() != psutil.STATUS_ZOMBIE and time.monotonic() < end:
        time.sleep(0.05)
    assert not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE
    owner.stdout.close()


def test_outputs_are_the_same_on_every_core(board: UnicornBoard, cache: Path) -> None:
    outputs = set()
    for target in ("rp2040", "nucleo-l4r5zi", "stm32f746", "nucleo-u575zi"):
        board.flash(image_of(Recipe(repeats=3), cache, target))
        outputs.add(board.run(INPUT, OUTPUT, 10_000_000).outputs)
    assert len(outputs) == 1
    assert np.frombuffer(outputs.pop()[0], np.int8).any()


def test_flash_caches_miss_each_sector_once_while_data_stays_cached(cache: Path) -> None:
    data_misses = []
    with UnicornBoard(cache, 60, flash_caches=True) as board:
        for repeats in (1, 21):
            board.flash(image_of(Recipe(repeats=repeats), cache))
            profile = board.run(INPUT, OUTPUT, 10_000_000).profile
            assert profile is not None
            data_misses.append(sum(misses.data for misses in profile.misses))
    # 640 bytes of weights, 40 of biases, a multiplier and literals, by sectors of 8; a row of 64 bytes stays cached.
    assert data_misses[0] == data_misses[1]
    assert 680 / 8 <= data_misses[0] <= 680 / 8 + 12


def test_flash_caches_change_cycles_and_nothing_else(board: UnicornBoard, cache: Path) -> None:
    image = image_of(Recipe(repeats=3), cache)
    board.flash(image)
    plain = board.run(INPUT, OUTPUT, 10_000_000)
    with UnicornBoard(cache, 60, flash_caches=True) as slow:
        slow.flash(image)
        timed = slow.run(INPUT, OUTPUT, 10_000_000)
    assert plain.profile is not None
    assert timed.profile is not None
    assert plain.outputs == timed.outputs
    assert set(plain.profile.blocks) == set(timed.profile.blocks)
    without, with_misses = (Counter(image).timing(profile).total for profile in (plain.profile, timed.profile))
    assert without.instructions == with_misses.instructions
    assert all((misses.instruction, misses.data) == (0, 0) for misses in plain.profile.misses)
    assert with_misses.cycles - without.cycles == 6 * sum(m.instruction + m.data for m in timed.profile.misses)


def test_target_without_flash_facts_counts_no_misses(cache: Path) -> None:
    with UnicornBoard(cache, 60, flash_caches=True) as board:
        board.flash(image_of(Recipe(), cache, "nano33ble"))
        profile = board.run(INPUT, OUTPUT, 10_000_000).profile
    assert profile is not None
    assert all((misses.instruction, misses.data) == (0, 0) for misses in profile.misses)
