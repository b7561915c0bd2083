"""What the weights of a quantized graph are multiplied with on calibration samples: second moments and means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Conv2D, DepthwiseConv2D, FullyConnected, Op
from services.compiler.quant.convolution import input_windows
from services.compiler.quant.folding import Weighted
from services.compiler.quant.reference import run_all_tensors
from services.compiler.quant.values import Array, quant_of

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Moments:
    """Of the inputs less their zero point, as a filter of K weights sees them: `gram` [G, K, K], `mean` [G, K].

    G is 1, or for depthwise convolutions the channels of the input.
    """

    gram: Floats
    mean: Floats


def layer_inputs(graph: Graph, samples: Iterable[Sequence[Array]]) -> dict[Op, Moments]:
    """Return the moments of every layer with weights; a sample is one array an input of the graph."""
    layers = [op for op in graph.ops if isinstance(op, Conv2D | DepthwiseConv2D | FullyConnected)]
    sums: dict[Op, list[Floats]] = {}
    count = 0
    for inputs in samples:
        values, count = run_all_tensors(graph, inputs), count + 1
        for op in layers:
            rows = _rows(graph, op, values[op.input])
            parts = [rows.transpose(0, 2, 1) @ rows / rows.shape[1], rows.mean(axis=1)]
            sums[op] = [a + b for a, b in zip(sums[op], parts, strict=True)] if op in sums else parts
    return {op: Moments(gram / count, mean / count) for op, (gram, mean) in sums.items()}


def _rows(graph: Graph, op: Weighted, x: Array) -> Floats:
    """Return [G, positions, K]: each row is multiplied with the filters of its group."""
    if isinstance(op, FullyConnected):
        features = graph.tensors[op.weights].shape[1]
        return (x.reshape(1, -1, features).astype(np.float64)) - quant_of(graph, op.input).zero_point[0]
    windows = input_windows(graph, op, x).astype(np.float64)
    out_h, out_w, channels, kernel_h, kernel_w = windows.shape
    taps = kernel_h * kernel_w
    if isinstance(op, DepthwiseConv2D):
        return windows.transpose(2, 0, 1, 3, 4).reshape(channels, out_h * out_w, taps)
    return windows.transpose(0, 1, 3, 4, 2).reshape(1, out_h * out_w, taps * channels)
