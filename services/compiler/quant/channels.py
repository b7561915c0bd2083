"""The arithmetic of a weighted operator by output channel, with channels that never change made trivial."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.compiler.ir.alone import remembered
from services.compiler.ir.graph import Graph
from services.compiler.quant.convolution import op_multipliers
from services.compiler.quant.folding import Weighted, channel_major, folded_bias, output_channels
from services.compiler.quant.requantize import activation_range, as_arrays, requantize
from services.compiler.quant.values import output_zero_point, quant_of

Int32s = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class ChannelArithmetic:
    """Sums of raw int8 inputs: output = zero point + (weights @ x + bias) * multiplier * 2^(-31 - right_shift).

    `weights` is [channels, values an output sums]; the others are [channels].
    """

    weights: npt.NDArray[np.int8]
    bias: Int32s
    multiplier: Int32s
    right_shift: Int32s


@remembered
def channel_arithmetic(graph: Graph, op: Weighted) -> ChannelArithmetic:
    """Return the operator's arithmetic; equal to the operator's for every input, bit for bit.

    A channel whose output is the same for every input (pruned filters, scales too small to matter) gets no weights
    and the plainest numbers that give its value: (4 * value) * 2^30 >> 31 >> 1.
    """
    channels = output_channels(graph, op)
    weights = channel_major(graph, op).reshape(channels, -1).astype(np.int64)
    bias = folded_bias(graph, op)
    multiplier, shift = as_arrays(op_multipliers(graph, op))
    extremes = (np.where((weights > 0) == low, -128, 127) for low in (True, False))
    sums = [(inputs * weights).sum(axis=1) + bias for inputs in extremes]
    # the output grows with the sum, so equal ends mean an output that never changes
    lowest, highest = (_output(graph, op, requantize(total, multiplier, shift)) for total in sums)
    constant = lowest == highest
    value = lowest - output_zero_point(graph, op)
    return ChannelArithmetic(
        weights=np.where(constant[:, None], 0, weights).astype(np.int8),
        bias=np.where(constant, 4 * value, bias).astype(np.int32),
        multiplier=np.where(constant, 1 << 30, multiplier).astype(np.int32),
        right_shift=np.where(constant, 1, -shift).astype(np.int32),
    )


def _output(graph: Graph, op: Weighted, scaled: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return requantized sums with the zero point added, clamped."""
    low, high = activation_range(op.activation, quant_of(graph, op.output), graph.tensors[op.output].dtype)
    return np.clip(scaled + output_zero_point(graph, op), low, high)
