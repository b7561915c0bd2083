"""How close a quantized model stays to its float model, on the same samples, in onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnxruntime

from services.compiler.importers.onnx.proto import parse, read_model, set_batch_to_one
from services.compiler.quantize.calibration import Array, SampleReader, check_calibration
from services.compiler.quantize.options import QuantizeOptions


@dataclass(frozen=True, slots=True)
class Fidelity:
    """`argmax_agreement` is the share of samples whose largest output stays the same, None for one single output.

    `sqnr_db` is the power of the float outputs over that of their error, in decibels, None where nothing differs.
    """

    samples: int
    argmax_agreement: float | None
    sqnr_db: float | None


def fidelity(
    float_model: bytes,
    quantized_model: bytes,
    calibration: Mapping[str, Array] | Array,
    options: QuantizeOptions | None = None,
) -> Fidelity:
    """Return how the first outputs of two models of the same inputs differ; arguments as of `quantize_onnx`."""
    arrays = check_calibration(read_model(float_model).inputs, calibration, (options or QuantizeOptions()).max_samples)
    exact, rounded = (_outputs(model, arrays) for model in (float_model, quantized_model))
    noise, signal = float(np.sum((exact - rounded) ** 2)), float(np.sum(exact**2))
    classes = exact.shape[1] > 1
    return Fidelity(
        samples=len(exact),
        argmax_agreement=float(np.mean(exact.argmax(1) == rounded.argmax(1))) if classes else None,
        sqnr_db=float(10 * np.log10(signal / noise)) if noise > 0 and signal > 0 else None,
    )


def _outputs(model: bytes, arrays: Mapping[str, Array]) -> Array:
    """Return the first output of every sample, flat, as float64 [samples, elements]."""
    proto = parse(model)
    set_batch_to_one(proto)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    reader = SampleReader(arrays)
    found = [session.run(None, sample)[0].ravel() for sample in iter(reader.get_next, None)]
    return np.stack(found).astype(np.float64)
