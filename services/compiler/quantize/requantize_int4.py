"""int4 weights in place of int8 ones, in a graph that is quantized already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Conv2D, DepthwiseConv2D, FullyConnected
from services.compiler.ir.tensor import DType, QuantParams
from services.compiler.passes.replace_constants import with_bias, with_constant, with_op
from services.compiler.quant.folding import Weighted, channel_major, constant_data, output_channels
from services.compiler.quant.values import Array, quant_of
from services.compiler.quantize.layer_inputs import Moments, layer_inputs
from services.compiler.quantize.round_to_int4 import round_to_inputs, round_to_nearest

Floats = npt.NDArray[np.float64]
Int8s = npt.NDArray[np.int8]


def requantize_to_int4(graph: Graph, samples: Iterable[Sequence[Array]] = ()) -> Graph:
    """Return the graph with int4 weights in place of int8 ones, one scale an output channel.

    With samples (one array an input each) weights are rounded for the inputs that the layers see, and biases make up
    for what the sums lose on average (Nagel et al., "Data-Free Quantization", ICCV 2019, section 4.2); without, each
    weight goes to the nearest value.
    """
    seen = layer_inputs(graph, samples)
    for op in graph.ops:
        if isinstance(op, Conv2D | DepthwiseConv2D | FullyConnected) and graph.tensors[op.weights].dtype is DType.INT8:
            graph = _requantized(graph, op, seen.get(op))
    return graph


def _requantized(graph: Graph, op: Weighted, seen: Moments | None) -> Graph:
    channels = output_channels(graph, op)
    held = np.broadcast_to(np.array(quant_of(graph, op.weights).scale), (channels,))
    filters: Floats = channel_major(graph, op).reshape(channels, -1) * held[:, None]
    if seen is None:
        values, scales = round_to_nearest(filters)
        lost: Floats = np.zeros(channels)
    else:
        values, scales = _rounded(filters, seen)
        means = np.repeat(seen.mean, channels // len(seen.mean), axis=0)
        lost = ((filters - values * scales[:, None]) * means).sum(axis=1)
    bias = constant_data(graph, op.bias).astype(np.float64).reshape(-1) if op.bias is not None else np.zeros(channels)
    return _with_weights(graph, op, values, scales, (bias * held + lost) / scales)


def _rounded(filters: Floats, seen: Moments) -> tuple[Int8s, Floats]:
    """Round every group of filters with the inputs that it sees."""
    groups = np.split(filters, len(seen.gram))
    parts = [round_to_inputs(group, gram) for group, gram in zip(groups, seen.gram, strict=True)]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _with_weights(graph: Graph, op: Weighted, values: Int8s, scales: Floats, bias: Floats) -> Graph:
    """Put int4 values [O, K], their scales and a bias in their units into the operator."""
    axis = 3 if isinstance(op, DepthwiseConv2D) else 0
    rest = [d for i, d in enumerate(graph.tensors[op.weights].shape) if i != axis]
    quant = QuantParams(tuple(scales.tolist()), (0,) * len(scales), axis)
    data = np.moveaxis(values.reshape(len(values), *rest), 0, axis)
    graph, weights = with_constant(graph, op.weights, data, quant)
    graph = graph.with_tensors({weights: replace(graph.tensors[weights], dtype=DType.INT4)})
    graph, moved = with_bias(graph, op, np.rint(bias).astype(np.int64))
    return with_op(graph, op, replace(op, inputs=(op.input, weights, moved)))
