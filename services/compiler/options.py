"""What a compilation is asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from services.common.errors import InvalidArgumentError
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.kernels.thumb2.issue import Issue


class Interface(Enum):
    """What the C code takes and gives: integers (the host converts at float edges), or the model's own floats."""

    INT8 = "int8"
    FLOAT = "float"


class Core(Enum):
    """Processor cores with kernels."""

    CORTEX_M0PLUS = "cortex-m0plus"
    CORTEX_M4 = "cortex-m4"
    CORTEX_M7 = "cortex-m7"
    CORTEX_M33 = "cortex-m33"

    __hash__ = object.__hash__  # members are single objects; that of Enum is slow


class Kernels(Enum):
    """Portable C99, the fastest that there is for the core, or such with less code."""

    PORTABLE = "portable"
    CORE = "core"
    SMALL = "small"


_CORE_KERNELS = {
    Core.CORTEX_M0PLUS: KernelSet.THUMB1,
    Core.CORTEX_M4: KernelSet.THUMB2,
    Core.CORTEX_M7: KernelSet.THUMB2,
    Core.CORTEX_M33: KernelSet.THUMB2,
}


_SCHEDULES = ("auto", "per-layer", "patch", "streaming")
_ALLOWED = "auto, per-layer, patch, patch:HxW of 1 to 9999 each, streaming"
_GRID = re.compile(r"patch:([1-9]\d{0,3})x([1-9]\d{0,3})")


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """Target (a chip's name, told in the library), its core, the schedule asked for, the interface, the kernels.

    `sram_bytes` is the chip's SRAM, `sram_budget_bytes` what of it the library may need in all; None is no limit.
    With `pull_input` the caller keeps the input and is asked for its rows.
    """

    target: str
    core: Core
    schedule: str = "auto"
    interface: Interface = Interface.INT8
    kernels: Kernels = Kernels.CORE
    sram_bytes: int | None = None
    sram_budget_bytes: int | None = None
    pull_input: bool = False

    def __post_init__(self) -> None:
        if self.schedule not in _SCHEDULES and self.patch_grid is None:
            raise InvalidArgumentError(
                f"schedule is {self.schedule!r}: must be one of {_ALLOWED}",
                subject="schedule",
                value=self.schedule,
                allowed=_ALLOWED,
            )

    @property
    def patch_grid(self) -> tuple[int, int] | None:
        """The rows and columns of patches asked for; None where they are left to the planner."""
        found = _GRID.fullmatch(self.schedule)
        return (int(found[1]), int(found[2])) if found else None


def kernel_set(options: CompileOptions) -> KernelSet:
    """Return the kernels that the options come to."""
    match options.kernels:
        case Kernels.PORTABLE:
            return KernelSet.PORTABLE
        case Kernels.CORE:
            return _CORE_KERNELS[options.core]
        case Kernels.SMALL:
            fast = _CORE_KERNELS[options.core]
            return KernelSet.THUMB2_SMALL if fast is KernelSet.THUMB2 else fast
        case _:
            assert_never(options.kernels)


def issue_of(core: Core) -> Issue:
    """Return how many instructions the core starts in a cycle."""
    return Issue.DUAL if core is Core.CORTEX_M7 else Issue.SINGLE


def parse_core(name: str) -> Core:
    """Return the core of that name. Raises InvalidArgumentError."""
    try:
        return Core(name)
    except ValueError:
        allowed = ", ".join(c.value for c in Core)
        raise InvalidArgumentError(
            f"core is {name!r}: must be one of {allowed}", subject="core", value=name, allowed=allowed
        ) from None
