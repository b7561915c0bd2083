"""A plan's network means the same to the compiler that it means to the search."""

from __future__ import annotations

import pytest

from services.common.errors import InvalidArgumentError, UnsupportedError
from services.compiler.convert.network import network_from_proto
from services.compiler.estimate import with_quantization
from services.compiler.importers.supported import refusals
from services.compiler.ir.verify import verify
from services.compiler.macs import graph_macs
from services.search.context import SearchSettings
from services.search.convert import network_to_proto, settings_from_proto
from services.search.objective import Budgets
from services.search.space.image import SpaceChoices, image_spaces
from services.search.space.network import network_of
from services.search.space.plan import plan_of
from tests.search.in_process import LiveRangeEstimator
from tinyfarm.client import Budgets as ClientBudgets
from tinyfarm.client import image_search
from tinyfarm.v1 import exploration_pb2, metric_pb2, task_pb2


@pytest.mark.parametrize("channels", [1, 3])
def test_compiler_takes_every_extreme_of_the_space(channels: int) -> None:
    for space in image_spaces((28, 28, channels), 10, SpaceChoices()):
        for architecture in (space.smallest(), space.largest()):
            network = network_of(plan_of(space, architecture), "n")
            graph = verify(with_quantization(network_from_proto(network_to_proto(network))))
            assert refusals(graph) == ()
            (costs,) = LiveRangeEstimator().estimate([network])
            assert graph_macs(graph) == costs.macs


def test_empty_specification_is_the_default_search() -> None:
    assert settings_from_proto(exploration_pb2.SearchSpec()) == SearchSettings(Budgets(), baselines=False)


def test_specification_reaches_the_settings() -> None:
    spec = exploration_pb2.SearchSpec(
        budgets=metric_pb2.Budgets(sram_bytes=16384, latency_us=1e5, accuracy=0.9),
        space=exploration_pb2.SearchSpace(resolutions=[20, 28], kernel_sizes=[3]),
        training=exploration_pb2.TrainingOptions(supernet_epochs=3, finetune_epochs=2, batch_size=32),
        evolution=exploration_pb2.EvolutionOptions(population=7, iterations=2),
        seed=5,
        finalists=2,
        baselines=True,
    )
    settings = settings_from_proto(spec)
    assert settings.budgets == Budgets(sram_bytes=16384, latency_us=1e5, accuracy=0.9)
    assert (settings.choices.resolutions, settings.choices.kernels) == ((20, 28), (3,))
    assert (settings.training.supernet_epochs, settings.training.finetune_epochs) == (3, 2)
    assert (settings.evolution.population, settings.evolution.iterations) == (7, 2)
    assert (settings.seed, settings.finalists, settings.baselines) == (5, 2, True)


def test_bad_specification_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="sram_bytes"):
        settings_from_proto(exploration_pb2.SearchSpec(budgets=metric_pb2.Budgets(sram_bytes=0)))
    with pytest.raises(UnsupportedError, match="TASK_KIND_OBJECT_DETECTION"):
        task = task_pb2.Task(kind=task_pb2.TASK_KIND_OBJECT_DETECTION)
        settings_from_proto(exploration_pb2.SearchSpec(task=task))


@pytest.mark.parametrize(
    ("schedule", "sram_bytes", "redistributed"),
    [("auto", 65_536, True), ("auto", None, False), ("patch", None, True), ("per-layer", 65_536, False)],
)
def test_search_is_priced_under_its_schedule_and_budget(
    schedule: str, sram_bytes: int | None, redistributed: bool
) -> None:
    spec = image_search("nano33ble", builtin="mnist5k", budgets=ClientBudgets(sram_bytes), schedule=schedule)
    assert spec.options.budgets.HasField("sram_bytes") is (sram_bytes is not None)
    assert (settings_from_proto(spec).evolution.redistribution_probability > 0) is redistributed
