"""What quantization costs: accuracy of the float and of the quantized model on the same data, in onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnxruntime

from services.common.errors import InvalidArgumentError
from services.compiler.quantize.calibration import Array


@dataclass(frozen=True, slots=True)
class AccuracyDrop:
    """Top-1 accuracy before and after, and how many samples keep their class."""

    float_accuracy: float
    quantized_accuracy: float
    agreement: float


def accuracy_drop(float_model: bytes, quantized_model: bytes, samples: Array, labels: Array) -> AccuracyDrop:
    """Return the accuracies of two models with one input and class scores as first output.

    `samples` is [samples, ...] in the model's layout, `labels` [samples] class numbers.
    """
    if len(samples) != len(labels) or not len(samples):
        raise InvalidArgumentError(
            f"{len(samples)} samples and {len(labels)} labels: must be as many, at least 1", subject="labels"
        )
    before, after = _classes(float_model, samples), _classes(quantized_model, samples)
    return AccuracyDrop(
        float(np.mean(before == labels)), float(np.mean(after == labels)), float(np.mean(before == after))
    )


def _classes(model: bytes, samples: Array) -> Array:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    scores = [session.run(None, {name: sample[None].astype(np.float32)})[0] for sample in samples]
    return np.array([int(np.argmax(score)) for score in scores])
