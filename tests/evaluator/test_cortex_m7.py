"""The Cortex-M7's model against what was measured on silicon, sequence by sequence.

Sources of `measured`: github.com/jnk0le/random, "pipeline cycle test" (STM32H743), and quinapalus.com/cm7cycles.html
(STM32H730). Both describe steady state from caches, as the model does. Whole engines cannot be held against published
times here: their sources are not part of this project.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from services.compiler.kernels.thumb2.instructions import parse
from services.compiler.kernels.thumb2.scheduling import blocks_of, separated
from services.evaluator.cores.decode import decode
from services.evaluator.cores.model import cycle_model, optimistic_cycle_model
from tests.compiler.kernels.thumb2.test_scheduling import routines
from tests.evaluator.assembled import assemble


@dataclass(frozen=True)
class Sequence:
    """Instructions, their cycles on silicon, and in the model where it is slower on purpose."""

    code: str
    measured: float
    modelled: float | None = None


def repeated(code: str, *registers: int) -> str:
    return ";".join(code.format(r) for r in registers)


SEQUENCES = {
    "independent sums pair up": Sequence(repeated("add.w r{0}, r{0}, #1", *range(8)), 4),
    "a chain of sums does not": Sequence(";".join(["add.w r0, r0, #1"] * 8), 8),
    "a sum with a shifted operand beside a plain one": Sequence(
        "add.w r0, r1, r2, lsl #3; add.w r4, r5, r6; add.w r7, r1, r2, lsl #3; add.w r8, r5, r6", 2
    ),
    "two sums with shifted operands never pair": Sequence("add.w r0, r1, r2, lsl #3; add.w r4, r5, r6, lsl #3", 2),
    "a shifted operand is read a cycle early": Sequence("add.w r0, r0, r0, lsl #3", 2),
    "shifts pair up": Sequence("lsl.w r0, r1, #3; lsr.w r2, r3, #3", 1, 2),
    "extensions never pair": Sequence("uxtb.w r0, r1; uxtb.w r2, r3", 2),
    "parallel sums never pair": Sequence("sadd16 r0, r1, r2; sadd16 r3, r4, r5", 2),
    "an extension, then a product": Sequence("sxtb16 r0, r1; smlad r4, r2, r3, r4", 1),
    "products never pair": Sequence("smlad r0, r1, r2, r0; smlad r3, r1, r2, r3", 2),
    "a chain of accumulations": Sequence(";".join(["smlad r0, r1, r2, r0"] * 4), 4),
    "a chain of long accumulations": Sequence(";".join(["smlal r0, r3, r1, r2"] * 4), 4),
    "a product is used two cycles later": Sequence("mul r0, r1, r2; add.w r1, r0, #1", 3),
    "a product beside a sum": Sequence("mul r0, r1, r2; add.w r3, r3, #1", 1),
    "a product beside a load": Sequence("smlad r4, r2, r3, r4; ldr.w r0, [r9]", 1),
    "a product never beside a store": Sequence("mul r0, r1, r2; str.w r3, [r9]", 2),
    "a load is multiplied two cycles later": Sequence("ldr.w r0, [r9]; mul r1, r0, r0; mov.w r9, r1", 5, 6),
    "words of both banks load together": Sequence(
        "ldr.w r0, [r9]; ldr.w r1, [r9, #4]; ldr.w r2, [r9, #8]; ldr.w r3, [r9, #12]", 2
    ),
    "words of one bank do not": Sequence("ldr.w r0, [r9]; ldr.w r1, [r9, #8]", 2),
    "a load beside a store": Sequence("ldr.w r0, [r9]; str.w r2, [r10]; ldr.w r1, [r9, #8]; str.w r3, [r10, #8]", 2),
    "stores never pair": Sequence("str.w r0, [r9]; str.w r1, [r9, #4]", 2),
    "a store of what is computed in its cycle": Sequence("add.w r0, r1, r2; str.w r0, [r9]", 1),
    "a word is added a cycle after its load": Sequence("ldr.w r0, [r9]; add.w r1, r0, #1", 2, 3),
    "a byte is added two cycles after its load": Sequence("ldrb.w r0, [r9]; add.w r1, r0, #1", 3),
    "a pair of registers loads alone": Sequence("ldrd r0, r1, [r9]; add.w r2, r2, #1", 2),
    "four registers load in two cycles": Sequence("ldm.w r9, {r0-r3}; add.w r4, r4, #1; add.w r5, r5, #1", 3),
    "five registers are stored in three cycles": Sequence("stm.w r9, {r0-r4}", 3),
    "addresses move every cycle": Sequence("ldr.w r0, [r9], #4; ldr.w r1, [r9], #4", 2),
    "a loaded address": Sequence("ldr.w r0, [r0]", 3),
}


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return assemble({name: s.code for name, s in SEQUENCES.items()}, tmp_path_factory.mktemp("assembled"))


@pytest.mark.parametrize("name", SEQUENCES)
def test_sequence_takes_the_cycles_of_silicon(name: str, code: dict[str, bytes]) -> None:
    sequence, block = SEQUENCES[name], decode(code[name], 0x1000)
    cycles = cycle_model("cortex-m7").block_cycles(block)
    assert cycles == (sequence.modelled or sequence.measured)
    assert cycles >= sequence.measured


def lines_of_routines() -> list[str]:
    """Return every instruction of the Thumb-2 routines once, but those that need a label."""
    lines = {line for routine in routines() for line in separated(routine).body}
    return sorted(line for line in lines if line[-1] not in ":bf" and not line.startswith("."))


def test_lines_and_machine_code_are_the_same_operations(tmp_path: Path) -> None:
    """The order of instructions is chosen, and its cycles are counted, by one model of every instruction."""
    lines = lines_of_routines()
    assert len(lines) > 200
    made = assemble({line: line for line in lines}, tmp_path)
    for line in lines:
        (decoded,) = decode(made[line], 0x1000)
        assert parse(line).operation == decoded.operation, line


def test_the_slow_end_is_never_faster_than_the_fast_end(tmp_path: Path) -> None:
    bodies = {}
    for number, routine in enumerate(routines()):
        for place, (is_code, block) in enumerate(blocks_of(separated(routine).body)):
            if is_code and not any(line[-1] in "bf" for line in block):
                bodies[f"{number} {place}"] = ";".join(block)
    slow, fast = cycle_model("cortex-m7"), optimistic_cycle_model("cortex-m7")
    for name, code in assemble(bodies, tmp_path).items():
        block = decode(code, 0x1000)
        assert slow.block_cycles(block) >= fast.block_cycles(block), bodies[name]
