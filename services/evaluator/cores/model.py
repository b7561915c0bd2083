"""What a cycle model is, and which one a core has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import assert_never

from services.common.targets import Core
from services.evaluator.cores.cortex_m0plus import block_cycles as m0plus_cycles
from services.evaluator.cores.cortex_m4 import block_cycles as m4_cycles
from services.evaluator.cores.cortex_m7 import MISPREDICTED_CYCLES
from services.evaluator.cores.cortex_m7 import block_cycles as m7_cycles
from services.evaluator.cores.decode import Instruction


@dataclass(frozen=True, slots=True)
class CycleModel:
    """Cycles of a block each time it runs, what a taken branch at its end adds, and a branch that goes as it seldom
    does; memory never waits. Where a core's timing is not published, these are the slow end of an interval.
    """

    block_cycles: Callable[[tuple[Instruction, ...]], float]
    taken_cycles: float
    mispredicted_cycles: float = 0.0


def cycle_model(core: Core) -> CycleModel:
    """Return the model of a core; the Cortex-M33 uses the Cortex-M4's table (see the targets' timing text)."""
    match core:
        case "cortex-m4" | "cortex-m33":
            return CycleModel(m4_cycles, 2.0)
        case "cortex-m0plus":
            return CycleModel(m0plus_cycles, 1.0)
        case "cortex-m7":
            # The branch predictor hides taken branches of loops, and misses their end.
            return CycleModel(m7_cycles, 0.0, MISPREDICTED_CYCLES)
        case _:
            assert_never(core)


def optimistic_cycle_model(core: Core) -> CycleModel:
    """Return the fast end of the interval; for a core with published timing the same as `cycle_model`."""
    return CycleModel(partial(m7_cycles, relaxed=True), 0.0) if core == "cortex-m7" else cycle_model(core)
