"""Scales of int4 weights: for each output channel the one whose rounding and clipping lose least."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.compiler.ir.tensor import DType

Floats = npt.NDArray[np.float64]

LOW, HIGH = DType.INT4.value_range
# Fractions of the largest magnitude that are tried as the range; below a third clipping always loses more.
_FRACTIONS = np.linspace(1.0, 0.3, 71)


def int4_scales(filters: Floats, importance: Floats | None = None) -> Floats:
    """Return one scale a filter [C] of real weights [C, K], with the least squared error among 71 ranges.

    `importance` [K] weighs the errors, for instance with the mean square of what each weight multiplies. A filter of
    zeros gets scale 1. Source: range search by mean squared error, Nagel et al., "A White Paper on Neural Network
    Quantization" (2021), section 3.1.
    """
    largest = np.abs(filters).max(axis=1)
    full = np.where(largest > 0, largest / HIGH, 1.0)
    weights = np.ones(filters.shape[1]) if importance is None else importance
    best, least = full, np.full(len(filters), np.inf)
    for fraction in _FRACTIONS:
        scales = full * fraction
        lost = (((quantized(filters, scales) * scales[:, None] - filters) ** 2) * weights).sum(axis=1)
        best, least = np.where(lost < least, scales, best), np.minimum(lost, least)
    return best


def quantized(filters: Floats, scales: Floats) -> npt.NDArray[np.int8]:
    """Return the nearest int4 values, held as int8."""
    return np.clip(np.rint(filters / scales[:, None]), LOW, HIGH).astype(np.int8)
