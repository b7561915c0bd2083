"""Cycles of Cortex-M4 instructions (Cortex-M4 Technical Reference Manual, instruction timing), memory without waits."""

from __future__ import annotations

from services.evaluator.cores.decode import Instruction
from services.evaluator.cores.unit import Unit

# The divider stops early: 2 to 12 cycles by operands, which a block count does not know.
_DIVIDE_CYCLES = 7.0
_FLOAT_DIVIDE_CYCLES = 14.0


def block_cycles(instructions: tuple[Instruction, ...]) -> float:
    """Return the cycles of one pass through the block, without what a taken branch adds."""
    cycles = 0.0
    in_load_run = False
    for instruction in instructions:
        cycles += _cycles(instruction, in_load_run)
        in_load_run = instruction.unit is Unit.LOAD
    return cycles


def _cycles(instruction: Instruction, in_load_run: bool) -> float:
    match instruction.unit:
        case Unit.LOAD:
            return 1.0 if in_load_run else 2.0
        case Unit.LOAD_MANY | Unit.STORE_MANY:
            return 1.0 + instruction.transfers
        case Unit.DIVIDE:
            return _DIVIDE_CYCLES
        case Unit.FLOAT_MAC:
            return 3.0
        case Unit.FLOAT_DIVIDE:
            return _FLOAT_DIVIDE_CYCLES
        case _:
            return 1.0
