"""Step 3: train the supernet, and beside it what does not depend on it."""

from __future__ import annotations

from collections.abc import Sequence

from services.search.context import Context
from services.search.seeding import seed_for
from services.search.space.image import ImageSpace
from services.search.space.plan import plan_of
from services.search.steps.fit import Fit, fit_together
from services.search.supernet.net import ElasticNet, seeded_net
from services.search.supernet.sort import sort_channels
from services.search.train import label_loss, sandwich_loss

# all that follows waits for the supernet: it is never the one that is left for later
_FIRST = 1e30


def train_supernet(context: Context, space: ImageSpace, beside: Sequence[Fit] = ()) -> ElasticNet:
    """Return the trained supernet: its largest network first, then, channels sorted, all of them together."""
    settings = context.settings.training
    net = seeded_net(plan_of(space, space.largest()), seed_for(context.settings.seed, "weights"))
    rate = settings.learning_rate

    def together() -> Fit:
        sort_channels(net)
        loss = sandwich_loss(space, settings)
        return Fit("supernet", net, settings.supernet_epochs, rate, loss, _FIRST)

    warmup = Fit("warmup", net, settings.warmup_epochs, rate, label_loss(settings), _FIRST, together)
    epochs = settings.warmup_epochs + settings.supernet_epochs + sum(fit.epochs for fit in beside)
    fit_together(context, "supernet", (warmup, *beside), epochs)
    return net.eval()
