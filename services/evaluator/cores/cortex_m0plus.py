"""Cycles of Cortex-M0+ instructions (its Technical Reference Manual), fast multiplier, memory without waits."""

from __future__ import annotations

from services.evaluator.cores.decode import Instruction
from services.evaluator.cores.unit import Unit


def block_cycles(instructions: tuple[Instruction, ...]) -> float:
    """Return the cycles of one pass through the block, without what a taken branch adds."""
    return sum(_cycles(instruction) for instruction in instructions)


def _cycles(instruction: Instruction) -> float:
    match instruction.unit:
        case Unit.LOAD | Unit.STORE:
            return 2.0
        case Unit.LOAD_MANY | Unit.STORE_MANY:
            # POP into pc takes 3 + N with the pc counted in N: one more here, one as a taken branch.
            return 1.0 + instruction.transfers + (1.0 if "pc" in instruction.text else 0.0)
        case Unit.CALL:
            return 2.0
        case Unit.BARRIER:
            return 3.0
        case _:
            return 1.0
