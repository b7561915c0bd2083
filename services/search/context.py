"""What every step of a search is given: settings, data, ports, and how to report and save."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch

from services.common.errors import CanceledError, FailedPreconditionError, InvalidArgumentError
from services.search.data.dataset import Dataset
from services.search.objective import Budgets
from services.search.ports import Checkpoints, Costs, Estimator, Failure, Farm
from services.search.space.image import SpaceChoices
from services.search.space.network import network_of
from services.search.space.plan import Plan
from services.search.strategy.evolution import EvolutionSettings
from services.search.train import TrainSettings

# Raised when a checkpoint of an older version could not be continued.
CHECKPOINT_VERSION = 2


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """Everything that decides a search's result, besides the data and the answers of the ports."""

    budgets: Budgets
    seed: int = 0
    choices: SpaceChoices = field(default_factory=SpaceChoices)
    training: TrainSettings = field(default_factory=TrainSettings)
    evolution: EvolutionSettings = field(default_factory=EvolutionSettings)
    finalists: int = 3
    baselines: bool = True
    space_samples: int = 24
    threads: int = 2

    def __post_init__(self) -> None:
        for name, highest in (("finalists", 64), ("space_samples", 1000), ("threads", 1024)):
            if not 1 <= getattr(self, name) <= highest:
                raise InvalidArgumentError(
                    f"{name} is {getattr(self, name)}: must be 1 to {highest}",
                    reason="SEARCH",
                    subject=name,
                    value=getattr(self, name),
                    allowed=f"1 to {highest}",
                )


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the search stands: `done` of `total` units of a phase, and the share of the whole."""

    phase: str
    done: int
    total: int
    fraction: float
    detail: str = ""


# Phases in order with their share of the whole, as timed on the demo.
PHASES = {
    "space": 0.02,
    "supernet": 0.57,
    "evolution": 0.03,
    "finalists": 0.35,
    "measure": 0.03,
}


@dataclass(slots=True)
class Clock:
    """Seconds spent in each phase by this process."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time of the body to a phase."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start


@dataclass(slots=True)
class Counter:
    """How much was asked of the estimator."""

    networks: int = 0


@dataclass(frozen=True, slots=True)
class Context:
    """One search: its inputs, the world around it and its accounts."""

    settings: SearchSettings
    dataset: Dataset
    estimator: Estimator
    farm: Farm
    checkpoints: Checkpoints
    on_progress: Callable[[Progress], None]
    is_canceled: Callable[[], bool]
    clock: Clock = field(default_factory=Clock)
    estimated: Counter = field(default_factory=Counter)

    def report(self, phase: str, done: int, total: int, detail: str = "") -> None:
        """Tell how far a phase is, and stop here where somebody cancelled the search.

        Raises CanceledError.
        """
        if self.is_canceled():
            raise CanceledError(f"the search was cancelled in phase {phase}", subject="search")
        names = list(PHASES)
        before = sum(PHASES[name] for name in names[: names.index(phase)])
        # rounded: a phase's end and the next one's start are sums in another order
        fraction = round(before + PHASES[phase] * done / max(total, 1), 6)
        self.on_progress(Progress(phase, done, total, fraction, detail))

    def costs(self, plans: Sequence[Plan]) -> Sequence[Costs | Failure]:
        """Ask the estimator about plans, in one batch."""
        self.estimated.networks += len(plans)
        return self.estimator.estimate([network_of(plan, "candidate") for plan in plans])

    def load(self, name: str) -> dict[str, object] | None:
        """Return what this search saved under a name, or None.

        Raises FailedPreconditionError where it was saved by a search with other settings or data.
        """
        content = self.checkpoints.load(name)
        if content is None:
            return None
        record = torch.load(io.BytesIO(content), weights_only=True)
        if record["fingerprint"] != self.fingerprint():
            raise FailedPreconditionError(
                f"checkpoint {name!r} is of a search with other settings, data or version: use a new folder",
                reason="OTHER_CHECKPOINT",
                subject="checkpoint",
                value=name,
            )
        state: dict[str, object] = record["state"]
        return state

    def save(self, name: str, state: dict[str, object]) -> None:
        """Save tensors and plain values under a name."""
        buffer = io.BytesIO()
        torch.save({"fingerprint": self.fingerprint(), "state": state}, buffer)
        self.checkpoints.save(name, buffer.getvalue())

    def fingerprint(self) -> str:
        """Return a digest of settings, data and version."""
        digest = hashlib.sha256(repr((CHECKPOINT_VERSION, self.settings)).encode())
        for part in (self.dataset.train, self.dataset.validation, self.dataset.test):
            digest.update(np.ascontiguousarray(part.labels[:1000]).tobytes())
            digest.update(np.ascontiguousarray(part.pixels[:100]).tobytes())
        return digest.hexdigest()
