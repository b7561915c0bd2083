"""What single channels of its input add to the sums of an operator that mixes channels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Conv2D, FullyConnected
from services.compiler.passes.value_ranges import Range
from services.compiler.quant.convolution import input_windows
from services.compiler.quant.fixed_point import Int64s
from services.compiler.quant.folding import constant_data
from services.compiler.quant.values import Array, quant_of

Mixing = Conv2D | FullyConnected


def constant_terms(graph: Graph, op: Mixing, channels: int, x: Range | None) -> Mapping[int, Int64s]:
    """Return, by input channel, what it adds to each sum [output channels], where that never changes.

    So it is for channels that no filter reads, and for known channels that add the same at every position. Padding is
    part of it: a channel whose constant is not the zero point adds less at the borders, unless the filter makes up.
    """
    if constant_data(graph, op.weights)[0].size % channels:
        return {}
    weights = _by_channel(graph, op, channels)
    unread = ~weights.any(axis=(0, 1))
    terms = {int(c): np.zeros(len(weights), np.int64) for c in np.flatnonzero(unread)}
    if x is None:
        return terms
    read = x.known.reshape(-1, channels).all(axis=0) & ~unread
    if not read.any():
        return terms
    windows = _windows(graph, op, channels, x.low)
    for c in np.flatnonzero(read):
        sums = windows[:, :, c].astype(np.int64) @ weights[:, :, c].T
        if (sums == sums[0]).all():
            terms[int(c)] = sums[0]
    return terms


def _by_channel(graph: Graph, op: Mixing, channels: int) -> Int64s:
    """Return the weights as [output channels, taps, input channels]."""
    data = constant_data(graph, op.weights).astype(np.int64)
    return data.reshape(len(data), -1, channels)


def _windows(graph: Graph, op: Mixing, channels: int, values: Array) -> Array:
    """Return what the sums see of the input less its zero point, as [positions, taps, input channels]."""
    if isinstance(op, Conv2D):
        windows = input_windows(graph, op, values).transpose(0, 1, 3, 4, 2)
        return windows.reshape(windows.shape[0] * windows.shape[1], -1, channels)
    inputs = graph.tensors[op.weights].shape[1]
    return values.astype(np.int64).reshape(-1, inputs // channels, channels) - quant_of(graph, op.input).zero_point[0]
