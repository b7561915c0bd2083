"""The whole search: data and limits in, measured networks out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from services.search.context import Context, Progress, SearchSettings
from services.search.data.dataset import Dataset
from services.search.objective import Budgets
from services.search.ports import Checkpoints, Estimator, Farm
from services.search.space.image import ImageSpace
from services.search.steps.evolution import search_architectures
from services.search.steps.finalists import cut_out, finish, hand_made, train_finalists
from services.search.steps.measure import Point, mark_front, measure, winner
from services.search.steps.space import prepare_space
from services.search.steps.supernet import train_supernet
from services.search.strategy.evolution import select_finalists


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Measured networks of the search and hand-made ones, and how they came about.

    `winner` is the name of the most accurate searched network within the limits as measured, or empty.
    `seconds` are by phase, of this process alone: a search that was resumed spent more.
    """

    dataset: str
    budgets: Budgets
    space: ImageSpace
    points: tuple[Point, ...]
    baselines: tuple[Point, ...]
    winner: str
    networks_estimated: int
    networks_scored: int
    seconds: tuple[tuple[str, float], ...]


def run_search(
    settings: SearchSettings,
    dataset: Dataset,
    *,
    estimator: Estimator,
    farm: Farm,
    checkpoints: Checkpoints,
    on_progress: Callable[[Progress], None] = lambda _: None,
    is_canceled: Callable[[], bool] = lambda: False,
) -> SearchResult:
    """Search, train and measure; go on from whatever the checkpoints hold.

    The same settings, data and answers of the ports give the same result, also after a resume.

    Raises CanceledError soon after `is_canceled` turns true; FailedPreconditionError where no network can meet
    the limits or the farm does not work; InvalidArgumentError for wrong settings.
    """
    # A second thread in an operator saves a tenth of so small a network's time, a second network beside it takes none.
    torch.set_num_threads(1)
    context = Context(settings, dataset, estimator, farm, checkpoints, on_progress, is_canceled)

    chosen = prepare_space(context)
    baselines = hand_made(context, chosen)
    supernet = train_supernet(context, chosen.space, [baseline.fit for baseline in baselines])
    history = search_architectures(context, chosen, supernet)
    finalists = cut_out(context, chosen.space, supernet, select_finalists(history, settings.finalists))
    train_finalists(context, finalists)
    measured = measure(context, [finish(context, finalist) for finalist in (*finalists, *baselines)])

    marked = mark_front(measured)
    points, others = marked[: len(finalists)], marked[len(finalists) :]
    best = winner(points)
    return SearchResult(
        dataset.name,
        settings.budgets,
        chosen.space,
        points,
        others,
        best.trained.name if best else "",
        context.estimated.networks,
        len(history),
        tuple(context.clock.seconds.items()),
    )
