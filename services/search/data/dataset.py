"""Labeled images and their split into training, validation and test parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidArgumentError

MIN_SAMPLES_PER_PART = 10


@dataclass(frozen=True, slots=True)
class Images:
    """Square images uint8 [N, H, W, C] with C 1 or 3, and class numbers int64 [N]."""

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: npt.NDArray[np.int64]) -> Images:
        """Return the images of the indices, in their order."""
        return Images(self.pixels[indices], self.labels[indices])


@dataclass(frozen=True, slots=True)
class Dataset:
    """A task's data: train fits weights, validation guides the search, test is for the final figures only."""

    name: str
    class_names: tuple[str, ...]
    train: Images
    validation: Images
    test: Images

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def image_hwc(self) -> tuple[int, int, int]:
        """Shape of one image."""
        h, w, c = self.train.pixels.shape[1:]
        return h, w, c


@dataclass(frozen=True, slots=True)
class Sampling:
    """Shares of the samples that are held out, the seed of the shuffle, and at most how many are used (0: all)."""

    validation: float = 0.1
    test: float = 0.2
    seed: int = 0
    max_samples: int = 0

    def __post_init__(self) -> None:
        if not (self.validation > 0 and self.test > 0 and self.validation + self.test <= 0.8):
            raise InvalidArgumentError(
                f"validation share {self.validation} and test share {self.test}: each must be above 0, "
                "both together at most 0.8",
                reason="SPLIT",
                subject="split",
            )


def split_images(images: Images, sampling: Sampling) -> tuple[Images, Images, Images]:
    """Return (train, validation, test), each class shared out evenly, in an order set by the seed.

    Raises InvalidArgumentError where a part would hold fewer than 10 images.
    """
    random = np.random.default_rng(sampling.seed)
    parts: tuple[list[npt.NDArray[np.int64]], ...] = ([], [], [])
    for label in np.unique(images.labels):
        members = random.permutation(np.flatnonzero(images.labels == label))
        test_end = round(len(members) * sampling.test)
        cuts = (test_end, test_end + round(len(members) * sampling.validation))
        test, validation, train = np.split(members, cuts)
        for part, indices in zip(parts, (train, validation, test), strict=True):
            part.append(indices)
    shuffled = [images.take(random.permutation(np.concatenate(part))) for part in parts]
    for name, images_of_part in zip(("train", "validation", "test"), shuffled, strict=True):
        require_samples(name, images_of_part)
    return shuffled[0], shuffled[1], shuffled[2]


def require_samples(part: str, images: Images) -> None:
    """Raise InvalidArgumentError where a part of the data is too small to mean anything."""
    if len(images) < MIN_SAMPLES_PER_PART:
        raise InvalidArgumentError(
            f"the {part} part of the data has {len(images)} images: at least {MIN_SAMPLES_PER_PART} are needed",
            reason="TOO_FEW_SAMPLES",
            subject=part,
            value=len(images),
            allowed=f"{MIN_SAMPLES_PER_PART} or more",
        )
