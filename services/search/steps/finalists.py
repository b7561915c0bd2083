"""Steps 5 and 6: train the few networks that will be measured, searched ones and hand-made ones."""

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
from services.search.steps.training import fit
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


def finetune(ctx: Context, space: ImageSpace, supernet: ElasticNet, chosen: tuple[Scored, ...]) -> tuple[Trained, ...]:
    """Return the chosen architectures, cut out of the supernet and trained further.

    Raises FailedPreconditionError where the search found nothing that fits.
    """
    if not chosen:
        raise FailedPreconditionError(
            "the search found no network that fits the budgets: raise a limit or give it more iterations",
            reason="NOTHING_FITS",
            subject="budgets",
        )
    settings = ctx.settings.training
    epochs, rate = settings.finetune_epochs, settings.finetune_learning_rate
    trained = []
    for i, scored in enumerate(chosen):
        net = extract(supernet, plan_of(space, scored.architecture))
        fit(
            ctx, net, f"finalist-{i + 1}", epochs=epochs, rate=rate, loss=label_loss(settings),
            phase="finetune", before=i * epochs, total=len(chosen) * epochs,
        )  # fmt: skip
        trained.append(_finish(ctx, net, f"net-{i + 1}", str(scored.architecture), scored.architecture))
    return tuple(trained)


def train_baselines(ctx: Context, chosen: ChosenSpace) -> tuple[Trained, ...]:
    """Return the hand-made networks, each at its largest size that fits the limits; none where none is asked for.

    Each is trained alone for as many epochs as a searched network in all: warm-up, supernet and fine-tuning.
    """
    settings = ctx.settings.training
    epochs = settings.warmup_epochs + settings.supernet_epochs + settings.finetune_epochs
    fitting = _fitting_baselines(ctx, chosen) if ctx.settings.baselines else ()
    trained = []
    for i, scaled in enumerate(fitting):
        net = seeded_net(scaled.plan, seed_for(ctx.settings.seed, scaled.name))
        fit(
            ctx, net, f"baseline-{i + 1}", epochs=epochs, rate=settings.learning_rate, loss=label_loss(settings),
            phase="baselines", before=i * epochs, total=len(fitting) * epochs,
        )  # fmt: skip
        trained.append(_finish(ctx, net, scaled.name, scaled.description, None))
    return tuple(trained)


def _fitting_baselines(ctx: Context, chosen: ChosenSpace) -> tuple[Scaled, ...]:
    """The largest size of each family that fits; a family of which none does is left out."""
    space = chosen.space
    shape = (max(space.resolutions), space.input_channels, space.classes)
    found = (_largest_fitting(ctx, sizes(*shape), chosen.correction) for sizes in (ds_cnn_sizes, mobilenet_v2_sizes))
    return tuple(scaled for scaled in found if scaled is not None)


def _largest_fitting(ctx: Context, sizes: Iterator[Scaled], correction: Correction) -> Scaled | None:
    candidates = tuple(sizes)
    for scaled, costs in zip(candidates, ctx.costs([s.plan for s in candidates]), strict=True):
        if isinstance(costs, Costs) and fits(correction.apply(costs), ctx.settings.budgets):
            return scaled
    return None


def _finish(ctx: Context, net: ElasticNet, name: str, description: str, architecture: Architecture | None) -> Trained:
    recalibrate(net, calibration_images(ctx, CALIBRATION_IMAGES))
    (predicted,) = _costs(ctx.costs([net.plan]))
    return Trained(
        name,
        description,
        architecture,
        net.plan,
        network_of(net.plan, name),
        predicted,
        quality_of(net, ctx.dataset.validation),
        quality_of(net, ctx.dataset.test).accuracy,
        export_onnx(net, name),
    )


def _costs(answers: Iterable[Costs | Failure]) -> Iterator[Costs]:
    for answer in answers:
        if isinstance(answer, Failure):
            raise FailedPreconditionError(f"a network that had an estimate has none now: {answer.message}")
        yield answer
