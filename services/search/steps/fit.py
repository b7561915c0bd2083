"""The loop that trains any number of networks side by side, and goes on after a crash."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import cast

from services.search.context import Context
from services.search.supernet.net import ElasticNet
from services.search.train import StepLoss, Training

SAVE_EVERY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Fit:
    """A network to train; `name` is that of its checkpoint and of its random numbers.

    `epoch_work` is how long an epoch takes beside one of the other networks, in any unit. `then`, where there is
    something to train after it, makes ready and returns that; it may be called again in a search that is resumed.
    """

    name: str
    net: ElasticNet
    epochs: int
    rate: float
    loss: StepLoss
    epoch_work: float = 1.0
    then: Callable[[], Fit] | None = None


def fit_together(context: Context, phase: str, fits: Sequence[Fit], total_epochs: int) -> None:
    """Train networks side by side, each on a thread of its own and from its checkpoint where there is one.

    What each becomes depends neither on the others nor on the number of threads.
    """
    runs = [_Run.of(context, fit) for fit in fits]
    with context.clock.phase(phase), ThreadPoolExecutor(context.settings.threads) as pool:
        running: dict[Future[float], int] = {}

        def report(detail: str) -> None:
            context.report(phase, sum(run.epochs_done for run in runs), total_epochs, detail)

        report("")
        while True:
            idle = [i for i, run in enumerate(runs) if run.left and i not in running.values()]
            for i in sorted(idle, key=lambda i: -runs[i].left)[: context.settings.threads - len(running)]:
                running[pool.submit(runs[i].training.run_epoch)] = i
            if not running:
                return
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                i = running.pop(done)
                run = runs[i]
                run.save(context)
                runs[i] = run.next(context)
                report(f"{run.fit.name}, loss {done.result():.3f}")


@dataclass(slots=True, eq=False)
class _Run:
    """A training under way; `epochs_before` were spent on what came before it."""

    fit: Fit
    training: Training
    saved_at: float
    epochs_before: int = 0

    @classmethod
    def of(cls, context: Context, fit: Fit, epochs_before: int = 0) -> _Run:
        training = Training(
            fit.net,
            context.dataset.train,
            context.settings.training,
            epochs=fit.epochs,
            peak_rate=fit.rate,
            loss=fit.loss,
            seed=context.settings.seed,
            phase=fit.name,
        )
        saved = context.load(fit.name)
        if saved is not None:
            training.load_state_dict(cast(dict[str, object], saved["training"]))
        return cls(fit, training, time.monotonic(), epochs_before).next(context)

    def next(self, context: Context) -> _Run:
        """Return what is to be trained now: this, unless it is at its end and something comes then."""
        if self.left or self.fit.then is None:
            return self
        return _Run.of(context, self.fit.then(), self.epochs_done)

    @property
    def left(self) -> float:
        """Work that is left, in the unit of the fit."""
        return (self.fit.epochs - self.training.epoch) * self.fit.epoch_work

    @property
    def epochs_done(self) -> int:
        """Epochs, with those before."""
        return self.epochs_before + self.training.epoch

    def save(self, context: Context) -> None:
        """Save at the end, and else where the last save is some time ago."""
        if not self.left or time.monotonic() - self.saved_at > SAVE_EVERY_SECONDS:
            context.save(self.fit.name, {"training": self.training.state_dict()})
            self.saved_at = time.monotonic()
