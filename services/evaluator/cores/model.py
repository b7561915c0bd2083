"""What a cycle model is, and which one a core has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from services.common.targets import Core
from services.evaluator.cores.cortex_m0plus import block_cycles as m0plus_cycles
from services.evaluator.cores.cortex_m4 import block_cycles as m4_cycles
from services.evaluator.cores.cortex_m7 import block_cycles as m7_cycles
from services.evaluator.cores.decode import Instruction


@dataclass(frozen=True, slots=True)
class CycleModel:
    """Cycles of a block each time it runs, and what a taken branch at its end adds; memory never waits."""

    block_cycles: Callable[[tuple[Instruction, ...]], float]
    taken_cycles: float


def cycle_model(core: Core) -> CycleModel:
    """Return the model of a core; the Cortex-M33 uses the Cortex-M4's table (see the targets' timing text)."""
    match core:
        case "cortex-m4" | "cortex-m33":
            return CycleModel(m4_cycles, 2.0)
        case "cortex-m0plus":
            return CycleModel(m0plus_cycles, 1.0)
        case "cortex-m7":
            # The branch predictor hides taken branches of loops; a miss costs more, but is rare in them.
            return CycleModel(m7_cycles, 0.0)
        case _:
            assert_never(core)
