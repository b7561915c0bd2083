"""Step 3: train the supernet. Also the loop that trains anything so that it can go on after a crash."""

from __future__ import annotations

import time
from typing import cast

from services.search.context import Context
from services.search.seeding import seed_for
from services.search.space.image import ImageSpace
from services.search.space.plan import plan_of
from services.search.supernet.net import ElasticNet, seeded_net
from services.search.supernet.sort import sort_channels
from services.search.train import StepLoss, Training, label_loss, sandwich_loss

SAVE_EVERY_SECONDS = 10.0


def train_supernet(ctx: Context, space: ImageSpace) -> ElasticNet:
    """Return the trained supernet: its largest network first, then, channels sorted, all of them together."""
    settings = ctx.settings.training
    net = seeded_net(plan_of(space, space.largest()), seed_for(ctx.settings.seed, "weights"))
    rate = settings.learning_rate
    fit(ctx, net, "warmup", epochs=settings.warmup_epochs, rate=rate, loss=label_loss(settings))
    sort_channels(net)
    fit(ctx, net, "supernet", epochs=settings.supernet_epochs, rate=rate, loss=sandwich_loss(space, settings))
    return net.eval()


def fit(
    ctx: Context,
    net: ElasticNet,
    name: str,
    *,
    epochs: int,
    rate: float,
    loss: StepLoss,
    phase: str = "",
    before: int = 0,
    total: int = 0,
) -> None:
    """Train a network for some epochs, going on from checkpoint `name` where there is one.

    Progress is reported as epochs of `phase` (the name if empty): `before` done earlier, `total` in all.
    """
    phase = phase or name
    training = Training(
        net, ctx.dataset.train, ctx.settings.training, epochs=epochs, peak_rate=rate, loss=loss,
        seed=ctx.settings.seed, phase=name,
    )  # fmt: skip
    saved = ctx.load(name)
    if saved is not None:
        training.load_state_dict(cast(dict[str, object], saved["training"]))
    last_save = time.monotonic()
    with ctx.clock.phase(phase):
        while training.epoch < epochs:
            ctx.report(phase, before + training.epoch, total or epochs, name)
            mean_loss = training.run_epoch()
            if training.epoch == epochs or time.monotonic() - last_save > SAVE_EVERY_SECONDS:
                ctx.save(name, {"training": training.state_dict()})
                last_save = time.monotonic()
            ctx.report(phase, before + training.epoch, total or epochs, f"{name}, loss {mean_loss:.3f}")
