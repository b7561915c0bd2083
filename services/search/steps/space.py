"""Steps 1 and 2: can the limits be met, how far is Estimate off on this board, and which space to search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import cast

from services.common.errors import FailedPreconditionError
from services.search.context import Context
from services.search.data.preprocess import network_input, to_tensor
from services.search.export import export_onnx
from services.search.objective import fits, require_feasible
from services.search.ports import Candidate, Costs, Failure
from services.search.seeding import random_for, seed_for
from services.search.space.image import ImageSpace, image_spaces
from services.search.space.plan import Plan, plan_of
from services.search.strategy.optimize_space import choose_space, score_spaces
from services.search.supernet.calibrate import recalibrate
from services.search.supernet.net import seeded_net

PROBE_SAMPLES = 16


@dataclass(frozen=True, slots=True)
class Correction:
    """What the board adds to an estimate, from one measured network.

    Stack, data of the runtime and linked helper routines do not depend much on the network: a sum. Latency and
    energy are modelled by operation: a factor.
    """

    sram_extra: int
    flash_extra: int
    latency_factor: float
    energy_factor: float

    def apply(self, costs: Costs) -> Costs:
        """Return costs as the board would have them."""
        return replace(
            costs,
            sram=replace(costs.sram, stack=costs.sram.stack + self.sram_extra),
            flash=replace(costs.flash, code=costs.flash.code + self.flash_extra),
            latency_us=None if costs.latency_us is None else costs.latency_us * self.latency_factor,
            energy_uj=None if costs.energy_uj is None else costs.energy_uj * self.energy_factor,
        )


@dataclass(frozen=True, slots=True)
class ChosenSpace:
    """The space that is searched and the correction of estimates."""

    space: ImageSpace
    correction: Correction


def prepare_space(context: Context) -> ChosenSpace:
    """Return the space to search.

    Raises FailedPreconditionError where not even the smallest network fits, or where the farm cannot measure it:
    both are known before anything is trained.
    """
    spaces = image_spaces(context.dataset.image_hwc, context.dataset.classes, context.settings.choices)
    saved = context.load("space")
    if saved is not None:
        context.estimated.networks = cast(int, saved["estimated"])
        correction = Correction(**cast(dict[str, float], saved["correction"]))  # type: ignore[arg-type]
        return ChosenSpace(spaces[cast(int, saved["index"])], correction)
    with context.clock.phase("space"):
        context.report("space", 0, 2, "asking what the smallest network needs")
        correction = _probe(context, spaces)
        context.report("space", 1, 2, f"comparing {len(spaces)} search spaces")
        space = _optimize(context, spaces, correction)
    estimated = context.estimated.networks
    context.save("space", {"index": spaces.index(space), "correction": asdict(correction), "estimated": estimated})
    context.report(
        "space", 2, 2, f"resolution {space.resolutions[-1]}, {space.blocks}, width {space.width_multiplier:g}"
    )
    return ChosenSpace(space, correction)


def corrected(answers: Sequence[Costs | Failure], correction: Correction) -> tuple[Costs | Failure, ...]:
    """Return the answers with the correction applied to costs."""
    return tuple(correction.apply(a) if isinstance(a, Costs) else a for a in answers)


def _probe(context: Context, spaces: Sequence[ImageSpace]) -> Correction:
    """Measure the smallest network, untrained, and compare."""
    plans = [plan_of(space, space.smallest()) for space in spaces]
    estimates = context.costs(plans)
    known = [(plan, c) for plan, c in zip(plans, estimates, strict=True) if isinstance(c, Costs)]
    if not known:
        require_feasible(estimates[0], context.settings.budgets)
    plan, predicted = min(known, key=lambda pair: (pair[1].sram.total, pair[1].flash.total))
    require_feasible(predicted, context.settings.budgets)
    (answer,) = context.farm.measure([_probe_candidate(context, plan)], lambda _: None)
    if isinstance(answer, Failure):
        raise FailedPreconditionError(
            f"the board cannot measure the smallest network of the search space: {answer.message}",
            reason="BOARD",
            subject="board",
        )
    measured = answer.costs
    correction = Correction(
        max(0, measured.sram.total - predicted.sram.total),
        max(0, measured.flash.total - predicted.flash.total),
        _ratio(measured.latency_us, predicted.latency_us),
        _ratio(measured.energy_uj, predicted.energy_uj),
    )
    require_feasible(correction.apply(predicted), context.settings.budgets)
    return correction


def _probe_candidate(context: Context, plan: Plan) -> Candidate:
    samples = context.dataset.train.pixels[:PROBE_SAMPLES]
    net = recalibrate(seeded_net(plan, seed_for(context.settings.seed, "probe")), to_tensor(samples))
    inputs = network_input(samples, plan.resolution)
    return Candidate("probe", export_onnx(net, "probe"), inputs, inputs, context.dataset.train.labels[:PROBE_SAMPLES])


def _optimize(context: Context, spaces: Sequence[ImageSpace], correction: Correction) -> ImageSpace:
    scores = score_spaces(
        spaces,
        lambda asked: corrected(context.costs([plan_of(s, a) for s, a in asked]), correction),
        lambda costs: fits(costs, context.settings.budgets),
        context.settings.space_samples,
        random_for(context.settings.seed, "space"),
    )
    return choose_space(scores)


def _ratio(measured: float | None, predicted: float | None) -> float:
    return measured / predicted if measured and predicted else 1.0
