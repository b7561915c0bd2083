"""Weights and biases as kernels use them: output channel first, the input's zero point folded into the bias."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Conv2D, DepthwiseConv2D, FullyConnected
from services.compiler.ir.tensor import TensorId
from services.compiler.quant.fixed_point import wrap_int32
from services.compiler.quant.values import quant_of

Weighted = Conv2D | DepthwiseConv2D | FullyConnected


def constant_data(graph: Graph, tensor: TensorId) -> npt.NDArray[np.generic]:
    """Return a constant's elements. Raises ValueError for the constants of a weight-free network."""
    found = graph.tensors[tensor]
    if found.data is None:
        raise ValueError(f"constant {found.name!r} has no data: a weight-free network has sizes but no C code")
    return found.data


def output_channels(graph: Graph, op: Weighted) -> int:
    """Return the number of output channels."""
    shape = graph.tensors[op.weights].shape
    return shape[-1] if isinstance(op, DepthwiseConv2D) else shape[0]


def channel_major(graph: Graph, op: Weighted) -> npt.NDArray[Any]:
    """Return the weights as [O, ...]: OHWI, O1HW for depthwise, OI for fully connected layers."""
    data = constant_data(graph, op.weights)
    return np.moveaxis(data, -1, 0) if isinstance(op, DepthwiseConv2D) else data


def folded_bias(graph: Graph, op: Weighted) -> npt.NDArray[np.int32]:
    """Return the bias [O] less input zero point times the sum of the filter: what is added to sums of raw inputs."""
    channels = output_channels(graph, op)
    bias = constant_data(graph, op.bias) if op.bias is not None else np.zeros(channels, np.int32)
    sums = channel_major(graph, op).reshape(channels, -1).astype(np.int64).sum(axis=1)
    return wrap_int32(bias.astype(np.int64).ravel() - quant_of(graph, op.input).zero_point[0] * sums).astype(np.int32)
