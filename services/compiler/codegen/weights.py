"""Weights, biases and multipliers as the kernels want them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from services.compiler.codegen.program import ConstArray, CType, Section, Values
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import FullyConnected
from services.compiler.ir.tensor import DType
from services.compiler.quant.convolution import op_multipliers
from services.compiler.quant.folding import Weighted, channel_major, folded_bias, output_channels
from services.compiler.quant.requantize import as_arrays
from services.compiler.quant.values import quant_of


def filter_array(graph: Graph, op: Weighted, label: str) -> ConstArray:
    """Return the weights, output channel first: OHWI, O(HW) for depthwise, OI for fully connected layers.

    int4 weights lie two filters a byte (`packed_filters`).
    """
    tensor, channels = graph.tensors[op.weights], output_channels(graph, op)
    if tensor.dtype is not DType.INT4:
        return ConstArray(label, Section.WEIGHTS, CType.INT8, tensor.elements, lambda: channel_major(graph, op).ravel())
    count = (channels + 1) // 2 * (tensor.elements // channels)
    return ConstArray(label, Section.WEIGHTS, CType.INT8, count, lambda: packed_filters(channel_major(graph, op)))


def packed_filters(weights: npt.NDArray[np.generic]) -> npt.NDArray[np.int8]:
    """Return int4 weights [O, ...] with filter 2i in the low and filter 2i + 1 in the high nibbles.

    0 lies beside an odd last one. Pairs of filters, not of neighboring weights: a run of taps of any length then
    starts at a byte.
    """
    filters = weights.reshape(len(weights), -1).astype(np.int8)
    padded = np.pad(filters, ((0, len(filters) % 2), (0, 0)))
    packed: npt.NDArray[np.int8] = ((padded[1::2] << 4) | (padded[::2] & 15)).astype(np.int8)
    return packed.ravel()


def bias_array(graph: Graph, op: Weighted, label: str) -> ConstArray:
    """Return the bias less input zero point times the sum of the filter, so that kernels multiply raw inputs."""
    return ConstArray(
        f"{label}_bias", Section.WEIGHTS, CType.INT32, output_channels(graph, op), lambda: folded_bias(graph, op)
    )


def multiplier_arrays(graph: Graph, op: Weighted, label: str) -> tuple[ConstArray, ConstArray]:
    """Return multipliers and shifts: one a channel, or one for all of a per-tensor fully connected layer."""
    count = output_channels(graph, op) if per_channel(graph, op) else 1

    def column(index: int) -> Callable[[], Values]:
        return lambda: as_arrays(op_multipliers(graph, op))[index][:count]

    return (
        ConstArray(f"{label}_multiplier", Section.TABLE, CType.INT32, count, column(0)),
        ConstArray(f"{label}_shift", Section.TABLE, CType.INT8, count, column(1)),
    )


def per_channel(graph: Graph, op: Weighted) -> bool:
    """Whether each output channel needs a multiplier of its own; convolution kernels always take one each."""
    return not isinstance(op, FullyConnected) or len(quant_of(graph, op.weights).scale) > 1
