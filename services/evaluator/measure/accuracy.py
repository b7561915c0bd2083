"""Accuracy over a data set, from outputs and labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.npz import ArraysError

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Share of samples whose largest output is the label's (the first of equals wins)."""

    value: float
    correct: int
    samples: int


def top1(outputs: Array, labels: Array) -> Accuracy:
    """Return the accuracy of outputs [N, ...] against labels [N].

    Raises ArraysError for a single output, and for labels that are none of the classes.
    """
    flat = outputs.reshape(len(outputs), -1)
    classes = flat.shape[1]
    if classes == 1:
        raise ArraysError(
            "accuracy needs one output for each class, the model has one output",
            subject="output",
            value=1,
            allowed="2 or more",
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise ArraysError(
            f"labels run from {low} to {high}, the model has {classes} classes",
            subject="y",
            value=f"{low}..{high}",
            allowed=f"0..{classes - 1}",
        )
    correct = int(np.count_nonzero(flat.argmax(axis=1) == labels))
    return Accuracy(correct / len(labels), correct, len(labels))
