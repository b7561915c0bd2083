"""Energy of the core: cycles times the target's energy per cycle."""

from __future__ import annotations

from dataclasses import dataclass

from services.common.targets import Target


@dataclass(frozen=True, slots=True)
class Energy:
    """Modelled energy of one invoke in microjoules, and where the energy per cycle comes from."""

    energy_uj: float
    source: str


def energy(target: Target, cycles: float) -> Energy | None:
    """Return the energy, None where no figure of the target is known."""
    if target.energy is None:
        return None
    return Energy(cycles * target.energy.nj_per_cycle * 1e-3, target.energy.source)
