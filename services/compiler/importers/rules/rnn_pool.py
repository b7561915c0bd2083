"""Rules on RnnPool: shapes of its two cells, and ranges in which no sum leaves 32 bits."""

from __future__ import annotations

from math import isclose

import numpy as np

from services.compiler.importers.padding import Window, output_hw
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import RnnPool
from services.compiler.ir.tensor import DType, TensorId, quoted
from services.compiler.quant.requantize import Multiplier
from services.compiler.quant.rnn_pool import STATE_ONE, summary_params, sweep_params
from services.compiler.quant.values import quant_of

MAX_HIDDEN = 128
MAX_CHANNELS = 4096
MAX_PATCH = 64
_SUM_BITS = 29
_WEIGHT = 127
_PIXEL, _STATE = 255, STATE_ONE


def rnn_pool_sizes(graph: Graph, op: RnnPool) -> str | None:
    """Hidden sizes are at most 128, channels at most 4096, patches at most 64 x 64."""
    if len(op.inputs) != 7:
        return f"it reads {len(op.inputs)} tensors: must be the data and 3 constants of each of two cells"
    if flat := [t for t in op.inputs[1:] if len(graph.tensors[t].shape) != 2]:
        tensor = graph.tensors[flat[0]]
        return f"constant {quoted(tensor.name)} has shape {tensor.shape}: must have 2 dimensions"
    channels = graph.tensors[op.input].shape[3]
    hidden, summary = (graph.tensors[cell[1]].shape[0] for cell in (op.sweep, op.summary))
    if not (max(hidden, summary) <= MAX_HIDDEN and channels <= MAX_CHANNELS and max(op.kernel_hw) <= MAX_PATCH):
        found = f"hidden sizes are {hidden} and {summary}, channels {channels}, the patch {op.kernel_hw}"
        return f"{found}: must be at most {MAX_HIDDEN}, {MAX_CHANNELS} and {MAX_PATCH}"
    return None


def rnn_pool_shapes(graph: Graph, op: RnnPool) -> str | None:
    """Weights are [hidden, inputs] and [hidden, hidden], biases [2, hidden]; padding is smaller than the patch."""
    _, height, width, channels = graph.tensors[op.input].shape
    hidden, summary = (graph.tensors[cell[1]].shape[0] for cell in (op.sweep, op.summary))
    if wrong := _cell_shapes(graph, op.sweep, channels, hidden) or _cell_shapes(graph, op.summary, hidden, summary):
        return wrong
    sides = ((op.padding.top, op.padding.bottom), (op.padding.left, op.padding.right))
    if any(max(pair) >= size for pair, size in zip(sides, op.kernel_hw, strict=True)):
        return f"padding {op.padding} reaches as far as the patch {op.kernel_hw}: must be smaller"
    expected = (1, *output_hw(Window(op.kernel_hw, op.stride_hw), op.padding, (height, width)), 4 * summary)
    found = graph.tensors[op.output].shape
    return None if found == expected else f"output has shape {found}: its inputs give {expected}"


def _cell_shapes(graph: Graph, cell: tuple[TensorId, TensorId, TensorId], inputs: int, hidden: int) -> str | None:
    for t, expected in zip(cell, ((hidden, inputs), (hidden, hidden), (2, hidden)), strict=True):
        tensor = graph.tensors[t]
        if tensor.shape != expected:
            return f"constant {quoted(tensor.name)} has shape {tensor.shape}: must be {expected}"
    return None


def rnn_pool_constants(graph: Graph, op: RnnPool) -> str | None:
    """Weights are int8 constants with one scale and zero point 0, biases int32 constants."""
    for cell in (op.sweep, op.summary):
        for t, dtype in zip(cell, (DType.INT8, DType.INT8, DType.INT32), strict=True):
            tensor = graph.tensors[t]
            if not tensor.is_constant or tensor.dtype is not dtype:
                return f"{quoted(tensor.name)} is {tensor.dtype.value}: must be a constant of {dtype.value}"
            if dtype is DType.INT8 and (
                tensor.quant is None or tensor.quant.per_channel or any(tensor.quant.zero_point)
            ):
                return f"weights {quoted(tensor.name)} must have one scale and zero point 0"
    return None


def rnn_pool_ranges(graph: Graph, op: RnnPool) -> str | None:
    """Zeta and nu are from 0 to 1; no sum of products reaches 2**17; the output has scale 1/128 and zero point 0."""
    if not all(0 <= value <= 1 for value in (*op.zeta, *op.nu)):
        return f"zeta is {op.zeta}, nu {op.nu}: must be from 0 to 1"
    for cell, params, largest in (
        (op.sweep, sweep_params(graph, op), _PIXEL),
        (op.summary, summary_params(graph, op), _STATE),
    ):
        for t, multiplier, value in ((cell[0], params.input, largest), (cell[1], params.recurrent, _STATE)):
            if _largest_sum(graph, t, multiplier, value) >= 1 << _SUM_BITS:
                return f"weights {quoted(graph.tensors[t].name)} are too large for sums in Q12"
        bias = graph.tensors[cell[2]]
        if bias.data is not None and np.abs(bias.data.astype(np.int64)).max() >= 1 << _SUM_BITS:
            return f"biases {quoted(bias.name)} are too large for sums in Q12"
    quant = quant_of(graph, op.output)
    if quant.zero_point[0] != 0 or not isclose(quant.scale[0], 1 / 128, rel_tol=1e-3):
        return f"output has scale {quant.scale[0]:g} and zero point {quant.zero_point[0]}: must be 1/128 and 0"
    return None


def _largest_sum(graph: Graph, weights: TensorId, multiplier: Multiplier, value: int) -> float:
    """Return the largest sum in Q12 that inputs of at most `value` can make, whatever they are."""
    tensor = graph.tensors[weights]
    row = tensor.shape[1] * _WEIGHT
    if tensor.data is not None:
        row = int(np.abs(tensor.data.astype(np.int64)).sum(axis=1).max())
    return float(row * value) * max(1.0, multiplier.value * 2.0 ** (multiplier.shift - 31))
