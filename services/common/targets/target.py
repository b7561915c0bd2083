"""Chip facts as data: a Target is one YAML file in this folder."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from services.common.errors import NotFoundError

Core = Literal["cortex-m0plus", "cortex-m4", "cortex-m7", "cortex-m33"]

_FOLDER = Path(__file__).parent


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MemoryRegion(_Facts):
    """One contiguous block of memory; `note` says which of the chip's memories it is and why."""

    base: int
    size_bytes: PositiveInt
    note: str


class EnergyPerCycle(_Facts):
    """Current of the chip in run mode for each MHz, at that voltage; `source` names who says so, and when."""

    microamps_per_mhz: PositiveFloat
    volts: PositiveFloat
    source: str

    @property
    def nj_per_cycle(self) -> float:
        """Energy of one core cycle in nanojoules."""
        return self.microamps_per_mhz * self.volts * 1e-3


class FlashWaits(_Facts):
    """Waits of the flash behind its two caches: lines of 32 bytes, fully associative, filled by 8-byte sectors."""

    cycles_per_miss: PositiveInt
    instruction_lines: Annotated[int, Field(ge=1, le=64)]
    data_lines: Annotated[int, Field(ge=1, le=64)]
    source: str


class Timing(_Facts):
    """How far modelled cycles are to be trusted.

    `low` and `high` are factors on the modelled cycles, null where nothing was published to compare with.
    """

    validated: bool
    low: PositiveFloat | None
    high: PositiveFloat | None
    text: str


class Target(_Facts):
    """A chip as the tools see it: core, clock, memory; None where a fact is not known."""

    name: str
    chip: str
    description: str
    core: Core
    fpu: Literal["none", "single", "double"]
    dsp: bool
    clock_hz: PositiveInt
    flash: MemoryRegion
    sram: MemoryRegion
    energy: EnergyPerCycle | None
    flash_waits: FlashWaits | None = None
    timing: Timing


def target_names() -> tuple[str, ...]:
    """Return the names of all targets, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


@cache
def load_target(name: str) -> Target:
    """Return the target of that name; NotFoundError names the allowed ones."""
    if name not in target_names():
        allowed = ", ".join(target_names())
        raise NotFoundError(
            f"unknown target {name!r}: allowed are {allowed}",
            reason="UNKNOWN_TARGET",
            subject="target",
            value=name,
            allowed=allowed,
        )
    return Target.model_validate(yaml.safe_load((_FOLDER / f"{name}.yaml").read_text()))


def all_targets() -> tuple[Target, ...]:
    """Return every target, sorted by name."""
    return tuple(load_target(name) for name in target_names())
