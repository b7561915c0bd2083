from dataclasses import replace
from pathlib import Path

import pytest
import torch

from services.search.context import Context, SearchSettings
from services.search.data.dataset import Dataset
from services.search.seeding import seed_for
from services.search.space.image import ImageSpace
from services.search.space.plan import plan_of
from services.search.steps.fit import Fit, fit_together
from services.search.supernet.net import ElasticNet, seeded_net
from services.search.train import label_loss
from tests.search.in_process import FolderCheckpoints, LiveRangeEstimator, OnnxRuntimeFarm


def context(settings: SearchSettings, dataset: Dataset, folder: Path) -> Context:
    ports = (LiveRangeEstimator(), OnnxRuntimeFarm(), FolderCheckpoints(folder))
    return Context(settings, dataset, *ports, lambda progress: None, lambda: False)


def fits(space: ImageSpace, settings: SearchSettings) -> list[Fit]:
    plans = {"one": space.smallest(), "two": space.largest(), "three": space.smallest()}
    return [
        Fit(name, seeded_net(plan_of(space, plan), seed_for(0, name)), epochs, 0.01, label_loss(settings.training))
        for epochs, (name, plan) in enumerate(plans.items(), start=1)
    ]


def same_weights(one: ElasticNet, other: ElasticNet) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_networks_trained_together_become_what_they_become_alone(
    space: ImageSpace, settings: SearchSettings, dataset: Dataset, tmp_path: Path, threads: int
) -> None:
    alone, together = fits(space, settings), fits(space, settings)
    for fit in alone:
        fit_together(context(settings, dataset, tmp_path / "alone"), "finalists", [fit], fit.epochs)
    fit_together(context(replace(settings, threads=threads), dataset, tmp_path / "together"), "finalists", together, 6)
    assert all(same_weights(a.net, b.net) for a, b in zip(alone, together, strict=True))
    assert not same_weights(fits(space, settings)[0].net, alone[0].net)
