"""Facts about microcontrollers, one YAML file each."""

from services.common.targets.target import (
    Core,
    EnergyPerCycle,
    FlashWaits,
    MemoryRegion,
    Target,
    Timing,
    all_targets,
    load_target,
    target_names,
)

__all__ = [
    "Core",
    "EnergyPerCycle",
    "FlashWaits",
    "MemoryRegion",
    "Target",
    "Timing",
    "all_targets",
    "load_target",
    "target_names",
]
