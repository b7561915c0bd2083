"""Step 3: train the supernet. Also the loops that train anything so that it can go on after a crash."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch

from services.search.context import Context
from services.search.seeding import seed_for
from services.search.space.image import ImageSpace
from services.search.space.plan import plan_of
from services.search.supernet.net import ElasticNet, seeded_net
from services.search.supernet.sort import sort_channels
from services.search.train import StepLoss, Training, label_loss, sandwich_loss

SAVE_EVERY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Fit:
    """A network to train; `name` is that of its checkpoint and of its random numbers.

    `epoch_work` is how long an epoch takes beside one of the other networks, in any unit.
    """

    name: str
    net: ElasticNet
    epochs: int
    rate: float
    loss: StepLoss
    epoch_work: float = 1.0


def train_supernet(ctx: Context, space: ImageSpace) -> ElasticNet:
    """Return the trained supernet: its largest network first, then, channels sorted, all of them together."""
    settings = ctx.settings.training
    net = seeded_net(plan_of(space, space.largest()), seed_for(ctx.settings.seed, "weights"))
    rate = settings.learning_rate
    fit(ctx, net, "warmup", epochs=settings.warmup_epochs, rate=rate, loss=label_loss(settings))
    sort_channels(net)
    fit(ctx, net, "supernet", epochs=settings.supernet_epochs, rate=rate, loss=sandwich_loss(space, settings))
    return net.eval()


def fit(ctx: Context, net: ElasticNet, phase: str, *, epochs: int, rate: float, loss: StepLoss) -> None:
    """Train one network on all threads, going on from the checkpoint of the phase's name where there is one."""
    run = _Run.of(ctx, Fit(phase, net, epochs, rate, loss))
    with ctx.clock.phase(phase):
        while run.left:
            ctx.report(phase, run.training.epoch, epochs, phase)
            mean_loss = run.training.run_epoch()
            run.save(ctx)
            ctx.report(phase, run.training.epoch, epochs, f"{phase}, loss {mean_loss:.3f}")


def fit_together(ctx: Context, phase: str, fits: Sequence[Fit]) -> None:
    """Train networks side by side, each on a thread of its own and from its checkpoint where there is one.

    A second thread on one small network saves a tenth of its time, a second network beside it takes none.
    What each becomes depends neither on the others nor on the number of threads.
    """
    runs = [_Run.of(ctx, fit) for fit in fits]
    total = sum(fit.epochs for fit in fits)
    with ctx.clock.phase(phase), _one_thread_an_operator(), ThreadPoolExecutor(ctx.settings.threads) as pool:
        running: dict[Future[float], _Run] = {}

        def report(detail: str) -> None:
            ctx.report(phase, sum(run.training.epoch for run in runs), total, detail)

        report("")
        while True:
            idle = sorted((run for run in runs if run.left and run not in running.values()), key=lambda run: -run.left)
            for run in idle[: ctx.settings.threads - len(running)]:
                running[pool.submit(run.training.run_epoch)] = run
            if not running:
                return
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                run = running.pop(done)
                run.save(ctx)
                report(f"{run.fit.name}, loss {done.result():.3f}")


@dataclass(slots=True, eq=False)
class _Run:
    """A training under way."""

    fit: Fit
    training: Training
    saved_at: float

    @classmethod
    def of(cls, ctx: Context, fit: Fit) -> _Run:
        training = Training(
            fit.net, ctx.dataset.train, ctx.settings.training, epochs=fit.epochs, peak_rate=fit.rate, loss=fit.loss,
            seed=ctx.settings.seed, phase=fit.name,
        )  # fmt: skip
        saved = ctx.load(fit.name)
        if saved is not None:
            training.load_state_dict(cast(dict[str, object], saved["training"]))
        return cls(fit, training, time.monotonic())

    @property
    def left(self) -> float:
        """Work that is left, in the unit of the fit."""
        return (self.fit.epochs - self.training.epoch) * self.fit.epoch_work

    def save(self, ctx: Context) -> None:
        """Save at the end, and else where the last save is some time ago."""
        if not self.left or time.monotonic() - self.saved_at > SAVE_EVERY_SECONDS:
            ctx.save(self.fit.name, {"training": self.training.state_dict()})
            self.saved_at = time.monotonic()


@contextmanager
def _one_thread_an_operator() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
