"""What every kind of board must do, the fake among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from services.common.targets import MemoryRegion, Target, load_target
from services.evaluator.boards.board import Board, Region, Write
from services.evaluator.boards.qemu import QemuBoard, qemu_installed
from services.evaluator.boards.unicorn import UnicornBoard
from services.evaluator.errors import BoardError, ModelRefusedFault, ProgramFault
from services.evaluator.image import Image, Port, build_image
from services.evaluator.library import read_library
from services.evaluator.protocol import PulledInput
from services.evaluator.toolchain import Toolchain
from tests.evaluator.c_library import Recipe, expected, library
from tests.evaluator.fake_board import FakeBoard

BUDGET = 5_000_000
X = np.random.default_rng(3).integers(-128, 128, 64, dtype=np.int8)
INPUT, OUTPUT = (Write(0, X.tobytes()),), (Region(64, 10),)


def qemu_target(core_of: str) -> Target:
    """Return a target with QEMU's memory map: code at 0, data inside the first bank."""
    facts = load_target(core_of)
    return facts.model_copy(
        update={
            "flash": MemoryRegion(base=0, size_bytes=4 << 20, note="bank at 0"),
            "sram": MemoryRegion(base=0x20000000, size_bytes=4 << 20, note="bank at 0x20000000"),
        }
    )


@dataclass(frozen=True)
class Kind:
    """How to open a board of one kind for a library, and build the image that it runs."""

    target: Target
    port: Port
    open: Callable[[Recipe, Path], Board]


KINDS = {
    "fake": Kind(load_target("nucleo-l4r5zi"), "simulated", lambda recipe, _: FakeBoard(recipe)),
    "qemu-m4": Kind(qemu_target("nucleo-l4r5zi"), "semihosting", lambda _, __: QemuBoard(60)),
    "qemu-m7": Kind(qemu_target("stm32f746"), "semihosting", lambda _, __: QemuBoard(60)),
    **{
        f"unicorn-{name}": Kind(load_target(name), "simulated", lambda _, cache: UnicornBoard(cache, 60))
        for name in ("rp2040", "nucleo-l4r5zi", "stm32h743", "nucleo-u575zi", "nano33ble")
    },
}


@dataclass(frozen=True)
class Bench:
    """Opens boards of one kind, flashed with a recipe; all are closed after the test."""

    kind: Kind
    cache: Path
    stack: ExitStack

    def image(self, recipe: Recipe) -> Image:
        return build_image(
            read_library(library(recipe)), self.kind.target, Toolchain("zig", self.cache), self.kind.port
        )

    def board(self, recipe: Recipe) -> Board:
        board = self.stack.enter_context(self.kind.open(recipe, self.cache))
        board.flash(self.image(recipe))
        return board


@pytest.fixture(params=KINDS, scope="module")
def bench(request: pytest.FixtureRequest, cache: Path) -> Iterator[Bench]:
    if request.param.startswith("qemu") and not qemu_installed():
        pytest.skip("qemu-system-arm is not installed")
    with ExitStack() as stack:
        yield Bench(KINDS[request.param], cache, stack)


def test_board_runs_the_model_and_says_how_deep_the_stack_went(bench: Bench) -> None:
    run = bench.board(Recipe()).run(INPUT, OUTPUT, BUDGET)
    assert np.frombuffer(run.outputs[0], np.int8).tolist() == expected(X).tolist()
    assert 32 <= run.stack_bytes <= 512


def test_board_runs_again_with_another_input(bench: Bench) -> None:
    board = bench.board(Recipe())
    first = board.run(INPUT, OUTPUT, BUDGET)
    second = board.run((Write(0, (-1 - X).tobytes()),), OUTPUT, BUDGET)
    third = board.run(INPUT, OUTPUT, BUDGET)
    assert np.frombuffer(second.outputs[0], np.int8).tolist() == expected(-1 - X).tolist()
    assert first.outputs == third.outputs
    assert first.stack_bytes == second.stack_bytes == third.stack_bytes


def test_board_asks_for_the_rows_of_an_input_that_is_pulled(bench: Bench) -> None:
    board = bench.board(Recipe(pulled=True))
    for x in (X, -1 - X):
        run = board.run((), OUTPUT, BUDGET, PulledInput(x.tobytes(), 8))
        assert np.frombuffer(run.outputs[0], np.int8).tolist() == expected(x).tolist()
        assert 32 <= run.stack_bytes <= 512


def test_rows_that_the_host_does_not_have_are_an_error(bench: Bench) -> None:
    board = bench.board(Recipe(pulled=True))
    with pytest.raises(BoardError, match="asked for rows 4 to 5"):
        board.run((), OUTPUT, BUDGET, PulledInput(X[:32].tobytes(), 8))
    board.reset()
    with pytest.raises(BoardError, match="asked for rows from 0 on"):
        board.run((), OUTPUT, BUDGET)


def test_model_that_refuses_is_an_error_and_the_board_lives_on(bench: Bench) -> None:
    board = bench.board(Recipe(returns=-7))
    for _ in range(2):
        with pytest.raises(ModelRefusedFault, match="-7"):
            board.run(INPUT, OUTPUT, BUDGET)


@pytest.mark.parametrize("body", ["wild", "undefined"])
def test_fault_is_an_error_and_the_board_can_be_reset(bench: Bench, body: str) -> None:
    board = bench.board(Recipe(body=body))
    for _ in range(2):
        with pytest.raises(ProgramFault):
            board.run(INPUT, OUTPUT, BUDGET)
        board.reset()


def test_memory_outside_the_arena_is_refused(bench: Bench) -> None:
    board = bench.board(Recipe())
    with pytest.raises(BoardError, match="BAD_RANGE"):
        board.run((Write(60, bytes(40)),), OUTPUT, BUDGET)
    with pytest.raises(BoardError, match="BAD_RANGE"):
        board.run(INPUT, (Region(0xFFFFFFF0, 32),), BUDGET)
    run = board.run(INPUT, OUTPUT, BUDGET)
    assert np.frombuffer(run.outputs[0], np.int8).tolist() == expected(X).tolist()


def test_board_takes_another_image(bench: Bench) -> None:
    board = bench.board(Recipe())
    board.flash(bench.image(Recipe()))
    assert board.run(INPUT, OUTPUT, BUDGET).outputs == (expected(X).tobytes(),)


def test_board_that_was_never_flashed_says_so(bench: Bench) -> None:
    board = bench.stack.enter_context(bench.kind.open(Recipe(), bench.cache))
    with pytest.raises(BoardError):
        board.reset()
