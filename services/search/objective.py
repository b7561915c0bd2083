"""Limits on a network and the check that they can be met at all."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isfinite

from services.common.errors import FailedPreconditionError, InvalidArgumentError
from services.search.ports import Costs, Failure


@dataclass(frozen=True, slots=True)
class Budgets:
    """Upper limits, and a lower one for accuracy (0 to 1); None does not bind."""

    sram_bytes: int | None = None
    flash_bytes: int | None = None
    latency_us: float | None = None
    energy_uj: float | None = None
    accuracy: float | None = None

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if value is not None and not (isfinite(value) and value > 0):
                raise _bad_budget(f.name, value, "above 0")
        if self.accuracy is not None and self.accuracy > 1:
            raise _bad_budget("accuracy", self.accuracy, "above 0, at most 1")


@dataclass(frozen=True, slots=True)
class Excess:
    """A limit and by how much it is broken."""

    budget: str
    limit: float
    value: float

    def __str__(self) -> str:
        return f"{self.budget} {self.value:.6g} (limit {self.limit:.6g})"


def excesses(costs: Costs, budgets: Budgets) -> tuple[Excess, ...]:
    """Return every broken limit on costs; a limit on something the target cannot tell counts as broken."""
    values = {
        "sram_bytes": costs.sram.total,
        "flash_bytes": costs.flash.total,
        "latency_us": costs.latency_us,
        "energy_uj": costs.energy_uj,
    }
    found = []
    for name, value in values.items():
        limit = getattr(budgets, name)
        if limit is not None and (value is None or value > limit):
            found.append(Excess(name, limit, float("inf") if value is None else value))
    return tuple(found)


def fits(costs: Costs | Failure, budgets: Budgets) -> bool:
    """Whether a network has costs, fits the chip and keeps to every limit."""
    return isinstance(costs, Costs) and not costs.misfits and not excesses(costs, budgets)


def require_feasible(smallest: Costs | Failure, budgets: Budgets) -> None:
    """Raise FailedPreconditionError, saying what it needs, where not even the smallest network fits."""
    if isinstance(smallest, Failure):
        raise FailedPreconditionError(
            f"the smallest network of the search space cannot be estimated: {smallest.message}",
            reason="NO_ESTIMATE",
            subject="search space",
        )
    broken = [*smallest.misfits, *(str(e) for e in excesses(smallest, budgets))]
    if broken:
        raise FailedPreconditionError(
            f"no network of the search space fits: the smallest needs {'; '.join(broken)}",
            reason="IMPOSSIBLE_BUDGET",
            subject="budgets",
            value="; ".join(broken),
            allowed="limits at or above what the smallest network needs",
        )


def _bad_budget(name: str, value: float, allowed: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"budget {name} is {value}: must be {allowed}",
        reason="BUDGET",
        subject=name,
        value=value,
        allowed=allowed,
    )
