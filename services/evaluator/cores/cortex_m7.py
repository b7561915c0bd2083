"""Cycles of Cortex-M7 code: an in-order dual-issue pipeline over a block repeated until it is steady.

The rules are those of services/common/cortex_m7.py: the measured ones are the slow end of an interval, the relaxed ones
the fast end. A mispredicted branch costs eight cycles (github.com/jnk0le/random, measured on an STM32H743).
"""

from __future__ import annotations

from services.common.cortex_m7 import Scoreboard
from services.evaluator.cores.decode import Instruction

MISPREDICTED_CYCLES = 8.0
_WARM_UP, _MEASURED = 4, 4


def block_cycles(instructions: tuple[Instruction, ...], *, relaxed: bool = False) -> float:
    """Return the cycles of one pass through the block when it runs again and again."""
    board = Scoreboard(relaxed=relaxed)
    started = 0
    for turn in range(_WARM_UP + _MEASURED):
        if turn == _WARM_UP:
            started = board.cycle
        for instruction in instructions:
            board.issue(instruction.operation)
        board.end_group()  # a taken branch ends the issue group
    return (board.cycle - started) / _MEASURED
