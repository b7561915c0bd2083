"""Weights, biases and multipliers as the kernels want them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from services.compiler.codegen.program import ConstArray, CType, Section, Values
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Conv2D, DepthwiseConv2D, FullyConnected
from services.compiler.ir.tensor import TensorId
from services.compiler.quant.convolution import op_multipliers
from services.compiler.quant.fixed_point import wrap_int32
from services.compiler.quant.requantize import as_arrays
from services.compiler.quant.values import quant_of

Weighted = Conv2D | DepthwiseConv2D | FullyConnected


def constant_data(graph: Graph, tensor: TensorId) -> Values:
    """Return a constant's elements. Raises ValueError for the constants of a weight-free network."""
    found = graph.tensors[tensor]
    if found.data is None:
        raise ValueError(f"constant {found.name!r} has no data: a weight-free network has sizes but no C code")
    return found.data


def filter_array(graph: Graph, op: Weighted, label: str) -> ConstArray:
    """Return the weights, output channel first: OHWI, O(HW) for depthwise, OI for fully connected layers."""
    tensor = graph.tensors[op.weights]
    return ConstArray(label, Section.WEIGHTS, CType.INT8, tensor.elements, lambda: _channel_major(graph, op).ravel())


def bias_array(graph: Graph, op: Weighted, label: str) -> ConstArray:
    """Return the bias less input zero point times the sum of the filter, so that kernels multiply raw inputs."""
    return ConstArray(
        f"{label}_bias", Section.WEIGHTS, CType.INT32, output_channels(graph, op), lambda: _folded_bias(graph, op)
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


def output_channels(graph: Graph, op: Weighted) -> int:
    """Return the number of output channels."""
    shape = graph.tensors[op.weights].shape
    return shape[-1] if isinstance(op, DepthwiseConv2D) else shape[0]


def _channel_major(graph: Graph, op: Weighted) -> npt.NDArray[np.generic]:
    data = constant_data(graph, op.weights)
    return np.moveaxis(data, -1, 0) if isinstance(op, DepthwiseConv2D) else data


def _folded_bias(graph: Graph, op: Weighted) -> Values:
    channels = output_channels(graph, op)
    bias = constant_data(graph, op.bias) if op.bias is not None else np.zeros(channels, np.int32)
    sums = _channel_major(graph, op).reshape(channels, -1).astype(np.int64).sum(axis=1)
    return wrap_int32(bias.astype(np.int64).ravel() - quant_of(graph, op.input).zero_point[0] * sums).astype(np.int32)
