"""Step 6: measure the trained networks on the farm, and draw the front through what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.search.context import Context
from services.search.data.preprocess import network_input
from services.search.objective import Budgets, Excess, excesses
from services.search.ports import Candidate, Failure, Measurement
from services.search.steps.finalists import Trained
from services.search.strategy.pareto import pareto_front

CALIBRATION_IMAGES = 256


@dataclass(frozen=True, slots=True)
class Point:
    """A network, predicted and measured. `broken` lists the limits it breaks as measured.

    `on_front`: it keeps to the limits and no other measured point, hand-made ones included, is at least as good in
    accuracy, latency and memory and better in one.
    """

    trained: Trained
    measured: Measurement | Failure
    broken: tuple[Excess, ...] = ()
    on_front: bool = False

    @property
    def within_budgets(self) -> bool:
        """Whether it was measured and keeps to every limit."""
        return isinstance(self.measured, Measurement) and not self.broken and not self.measured.costs.misfits


def measure(context: Context, trained: Sequence[Trained]) -> tuple[Point, ...]:
    """Return a point for each network, in order; one that could not be measured says why."""
    with context.clock.phase("measure"):
        total = len(trained)
        context.report("measure", 0, total, "quantize, compile and run on the board")
        candidates = [_candidate(context, t) for t in trained]
        answers = context.farm.measure(candidates, lambda done: context.report("measure", done, total))
        context.report("measure", total, total)
    return tuple(Point(t, a, _broken(a, context.settings.budgets)) for t, a in zip(trained, answers, strict=True))


def mark_front(points: Sequence[Point]) -> tuple[Point, ...]:
    """Return the points with `on_front` set."""
    inside = [i for i, p in enumerate(points) if p.within_budgets]
    front = {inside[i] for i in pareto_front([_objectives(points[i].measured) for i in inside])}
    return tuple(replace(p, on_front=i in front) for i, p in enumerate(points))


def winner(points: Sequence[Point]) -> Point | None:
    """Return the most accurate point within the limits, of equals the fastest; None where there is none."""
    inside = [p for p in points if p.within_budgets]
    return min(inside, key=lambda p: _objectives(p.measured), default=None)


def _objectives(measured: Measurement | Failure) -> tuple[float, ...]:
    """Error, latency (MACs where the board tells none), memory: all to be small."""
    assert isinstance(measured, Measurement)
    costs = measured.costs
    latency = costs.macs if costs.latency_us is None else costs.latency_us
    return 1 - measured.accuracy, float(latency), float(costs.sram.total)


def _broken(answer: Measurement | Failure, budgets: Budgets) -> tuple[Excess, ...]:
    if isinstance(answer, Failure):
        return ()
    accuracy = budgets.accuracy
    low = accuracy is not None and answer.accuracy < accuracy
    too_low = (Excess("accuracy", accuracy, answer.accuracy),) if low and accuracy is not None else ()
    return (*excesses(answer.costs, budgets), *too_low)


def _candidate(context: Context, trained: Trained) -> Candidate:
    resolution = trained.plan.resolution
    return Candidate(
        trained.name,
        trained.onnx,
        network_input(context.dataset.train.pixels[:CALIBRATION_IMAGES], resolution),
        network_input(context.dataset.test.pixels, resolution),
        context.dataset.test.labels,
    )
