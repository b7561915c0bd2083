"""Step 5: train the few networks that will be measured, searched ones and hand-made ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from services.common.errors import FailedPreconditionError
from services.search.baselines import Scaled, ds_cnn_sizes, mobilenet_v2_sizes
from services.search.context import Context
from services.search.export import export_onnx
from services.search.objective import fits
from services.search.ports import Costs, Failure
from services.search.seeding import seed_for
from services.search.space.architecture import Architecture
from services.search.space.image import ImageSpace
from services.search.space.network import Network, network_of
from services.search.space.plan import Plan, plan_of
from services.search.steps.evolution import calibration_images, quality_of
from services.search.steps.space import ChosenSpace, Correction
from services.search.steps.training import Fit, fit_together
from services.search.strategy.explore import Quality, Scored
from services.search.supernet.calibrate import recalibrate
from services.search.supernet.net import ElasticNet, extract, seeded_net
from services.search.train import label_loss

CALIBRATION_IMAGES = 1024


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained network, ready for the farm. `predicted` is what Estimate says, uncorrected.

    `float_accuracy` is on the test part, `validation` on the part that the search saw. `architecture` is None
    for a hand-made network.
    """

    name: str
    description: str
    architecture: Architecture | None
    plan: Plan
    network: Network
    predicted: Costs
    validation: Quality
    float_accuracy: float
    onnx: bytes


def train_finalists(
    ctx: Context, chosen: ChosenSpace, supernet: ElasticNet, selected: tuple[Scored, ...]
) -> tuple[tuple[Trained, ...], tuple[Trained, ...]]:
    """Return the selected architectures, cut out of the supernet and trained further, and the hand-made networks.

    Raises FailedPreconditionError where the search found nothing that fits.
    """
    if not selected:
        raise FailedPreconditionError(
            "the search found no network that fits the budgets: raise a limit or give it more iterations",
            reason="NOTHING_FITS",
            subject="budgets",
        )
    searched = tuple(_searched(ctx, chosen.space, supernet, i, scored) for i, scored in enumerate(selected, start=1))
    hand_made = _fitting_baselines(ctx, chosen)
    fit_together(ctx, "finalists", [finalist.fit for finalist in (*searched, *hand_made)])
    return tuple(_finish(ctx, f) for f in searched), tuple(_finish(ctx, f) for f in hand_made)


@dataclass(frozen=True, slots=True)
class _Finalist:
    """A network that is to be trained and measured."""

    name: str
    description: str
    architecture: Architecture | None
    fit: Fit


def _searched(ctx: Context, space: ImageSpace, supernet: ElasticNet, number: int, scored: Scored) -> _Finalist:
    training = ctx.settings.training
    net = extract(supernet, plan_of(space, scored.architecture))
    fit = Fit(
        f"finalist-{number}", net, training.finetune_epochs, training.finetune_learning_rate, label_loss(training),
        epoch_work=scored.costs.macs,
    )  # fmt: skip
    return _Finalist(f"net-{number}", str(scored.architecture), scored.architecture, fit)


def _hand_made(ctx: Context, scaled: Scaled, macs: int) -> _Finalist:
    """A baseline is trained alone for as many epochs as a searched network in all: warm-up, supernet, fine-tuning."""
    training = ctx.settings.training
    epochs = training.warmup_epochs + training.supernet_epochs + training.finetune_epochs
    net = seeded_net(scaled.plan, seed_for(ctx.settings.seed, scaled.name))
    fit = Fit(scaled.name, net, epochs, training.learning_rate, label_loss(training), epoch_work=macs)
    return _Finalist(scaled.name, scaled.description, None, fit)


def _fitting_baselines(ctx: Context, chosen: ChosenSpace) -> tuple[_Finalist, ...]:
    """The largest size of each family that fits, where any are asked for; a family of which none does is left out."""
    if not ctx.settings.baselines:
        return ()
    space = chosen.space
    shape = (max(space.resolutions), space.input_channels, space.classes)
    found = (_largest_fitting(ctx, sizes(*shape), chosen.correction) for sizes in (ds_cnn_sizes, mobilenet_v2_sizes))
    return tuple(baseline for baseline in found if baseline is not None)


def _largest_fitting(ctx: Context, sizes: Iterator[Scaled], correction: Correction) -> _Finalist | None:
    candidates = tuple(sizes)
    for scaled, costs in zip(candidates, ctx.costs([s.plan for s in candidates]), strict=True):
        if isinstance(costs, Costs) and fits(correction.apply(costs), ctx.settings.budgets):
            return _hand_made(ctx, scaled, costs.macs)
    return None


def _finish(ctx: Context, finalist: _Finalist) -> Trained:
    net = finalist.fit.net
    recalibrate(net, calibration_images(ctx, CALIBRATION_IMAGES))
    (predicted,) = _costs(ctx.costs([net.plan]))
    return Trained(
        finalist.name,
        finalist.description,
        finalist.architecture,
        net.plan,
        network_of(net.plan, finalist.name),
        predicted,
        quality_of(net, ctx.dataset.validation),
        quality_of(net, ctx.dataset.test).accuracy,
        export_onnx(net, finalist.name),
    )


def _costs(answers: Iterable[Costs | Failure]) -> Iterator[Costs]:
    for answer in answers:
        if isinstance(answer, Failure):
            raise FailedPreconditionError(f"a network that had an estimate has none now: {answer.message}")
        yield answer
