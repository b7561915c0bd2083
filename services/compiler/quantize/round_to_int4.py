"""int4 values for real weights, rounded so that the sums with the inputs that were seen stay near (GPTQ)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.compiler.quantize.int4_scales import HIGH, LOW, int4_scales, quantized

Floats = npt.NDArray[np.float64]
Int8s = npt.NDArray[np.int8]

# Part of the mean second moment added to all, so that inputs that hardly vary do not take all the error.
_DAMPING = 0.01


def round_to_nearest(filters: Floats) -> tuple[Int8s, Floats]:
    """Return int4 values [C, K] and scales [C] of real filters."""
    scales = _as_float32(int4_scales(filters))
    return quantized(filters, scales), scales


def round_to_inputs(filters: Floats, gram: Floats) -> tuple[Int8s, Floats]:
    """Return int4 values and scales of filters [C, K] that are multiplied with inputs of second moments [K, K].

    Weight by weight: each is rounded, and those that follow make up for its error. Source: Frantar et al., GPTQ
    (ICLR 2023), algorithm 1, in the weights' own order.
    """
    damped = gram + np.eye(len(gram)) * (_DAMPING * np.trace(gram) / len(gram) + 1e-9)
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T
    scales = _as_float32(int4_scales(filters, np.diag(damped)))
    left, values = filters.copy(), np.empty(filters.shape, np.int8)
    for k in range(filters.shape[1]):
        values[:, k] = np.clip(np.rint(left[:, k] / scales), LOW, HIGH)
        error = (left[:, k] - values[:, k] * scales) / factor[k, k]
        left[:, k:] -= error[:, None] * factor[k, k:]
    return values, scales


def _as_float32(scales: Floats) -> Floats:
    """Scales as model files hold them."""
    return scales.astype(np.float32).astype(np.float64)
