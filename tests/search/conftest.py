"""Small data and short settings that every test of the search shares."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from services.search.context import SearchSettings
from services.search.data.dataset import Dataset, Images
from services.search.objective import Budgets
from services.search.space.image import ImageSpace, SpaceChoices, image_spaces
from services.search.strategy.evolution import EvolutionSettings
from services.search.train import TrainSettings


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def space_of(kind: str) -> ImageSpace:
    """A small space of a kind of blocks."""
    choices = SpaceChoices(resolutions=(12, 16), width_multipliers=(0.5,))
    return {space.blocks: space for space in image_spaces((16, 16, 1), 3, choices)}[kind]


@pytest.fixture(params=["inverted bottlenecks", "separable blocks"])
def space(request: pytest.FixtureRequest) -> ImageSpace:
    return space_of(request.param)


def bars(count: int, seed: int) -> Images:
    """Noisy images of a horizontal bar, a vertical bar or a block: three classes a small network can learn."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, count)
    pixels = random.integers(0, 60, (count, 16, 16, 1))
    for image, label, (row, column) in zip(pixels, labels, random.integers(2, 10, (count, 2)), strict=True):
        height, width = ((2, 12), (12, 2), (5, 5))[label]
        image[min(row, 16 - height) :][:height, min(column, 16 - width) :][:, :width] += 180
    return Images(pixels.astype(np.uint8), labels.astype(np.int64))


@pytest.fixture
def dataset() -> Dataset:
    return Dataset("bars", ("horizontal", "vertical", "block"), bars(96, 0), bars(60, 1), bars(60, 2))


@pytest.fixture
def settings() -> SearchSettings:
    return SearchSettings(
        Budgets(sram_bytes=4 << 10),
        choices=SpaceChoices(resolutions=(12, 16), width_multipliers=(0.5,), depths=(1, 2)),
        training=TrainSettings(warmup_epochs=2, supernet_epochs=2, finetune_epochs=2, batch_size=32),
        evolution=EvolutionSettings(population=4, iterations=2, parents=3),
        finalists=2,
        space_samples=8,
        threads=1,
    )
