"""Step 5: the few networks that will be trained and measured, searched ones and hand-made ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
from services.search.steps.fit import Fit, fit_together
from services.search.steps.space import ChosenSpace, Correction
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


@dataclass(frozen=True, slots=True)
class Finalist:
    """A network that is to be trained and measured."""

    name: str
    description: str
    architecture: Architecture | None
    fit: Fit


def cut_out(
    context: Context, space: ImageSpace, supernet: ElasticNet, chosen: tuple[Scored, ...]
) -> tuple[Finalist, ...]:
    """Return the chosen architectures with the weights that they had as parts of the supernet.

    Raises FailedPreconditionError where the search found nothing that fits.
    """
    if not chosen:
        raise FailedPreconditionError(
            "the search found no network that fits the budgets: raise a limit or give it more iterations",
            reason="NOTHING_FITS",
            subject="budgets",
        )
    training, finalists = context.settings.training, []
    for number, scored in enumerate(chosen, start=1):
        net = extract(supernet, plan_of(space, scored.architecture))
        fit = Fit(
            f"finalist-{number}", net, training.finetune_epochs, training.finetune_learning_rate, label_loss(training),
            epoch_work=scored.costs.macs,
        )  # fmt: skip
        finalists.append(Finalist(f"net-{number}", str(scored.architecture), scored.architecture, fit))
    return tuple(finalists)


def hand_made(context: Context, chosen: ChosenSpace) -> tuple[Finalist, ...]:
    """Return the baselines, where any are asked for, each at its largest size that fits the limits.

    Each is trained alone for as many epochs as a searched network in all: warm-up, supernet and fine-tuning.
    A family of which no size fits is left out.
    """
    if not context.settings.baselines:
        return ()
    space = chosen.space
    shape = (max(space.resolutions), space.input_channels, space.classes)
    found = (
        _largest_fitting(context, sizes(*shape), chosen.correction) for sizes in (ds_cnn_sizes, mobilenet_v2_sizes)
    )
    return tuple(_baseline(context, *fitting) for fitting in found if fitting is not None)


def _largest_fitting(context: Context, sizes: Iterator[Scaled], correction: Correction) -> tuple[Scaled, Costs] | None:
    candidates = tuple(sizes)
    for scaled, costs in zip(candidates, context.costs([s.plan for s in candidates]), strict=True):
        if isinstance(costs, Costs) and fits(correction.apply(costs), context.settings.budgets):
            return scaled, costs
    return None


def _baseline(context: Context, scaled: Scaled, costs: Costs) -> Finalist:
    training = context.settings.training
    epochs = training.warmup_epochs + training.supernet_epochs + training.finetune_epochs
    net = seeded_net(scaled.plan, seed_for(context.settings.seed, scaled.name))
    fit = Fit(scaled.name, net, epochs, training.learning_rate, label_loss(training), epoch_work=costs.macs)
    return Finalist(scaled.name, scaled.description, None, fit)


def train_finalists(context: Context, finalists: Sequence[Finalist]) -> None:
    """Train the searched networks further."""
    fit_together(context, "finalists", [f.fit for f in finalists], sum(f.fit.epochs for f in finalists))


def finish(context: Context, finalist: Finalist) -> Trained:
    """Return a finalist that has been trained as it goes to the farm."""
    net = finalist.fit.net
    recalibrate(net, calibration_images(context, CALIBRATION_IMAGES))
    (predicted,) = _costs(context.costs([net.plan]))
    return Trained(
        finalist.name,
        finalist.description,
        finalist.architecture,
        net.plan,
        network_of(net.plan, finalist.name),
        predicted,
        quality_of(net, context.dataset.validation),
        quality_of(net, context.dataset.test).accuracy,
        export_onnx(net, finalist.name),
    )


def _costs(answers: Iterable[Costs | Failure]) -> Iterator[Costs]:
    for answer in answers:
        if isinstance(answer, Failure):
            raise FailedPreconditionError(f"a network that had an estimate has none now: {answer.message}")
        yield answer
