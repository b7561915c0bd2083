"""Reference of RnnPool: int8 data, int8 weights, int16 states. The arithmetic is defined in docs/rnnpool.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import RnnPool
from services.compiler.ir.tensor import TensorId
from services.compiler.quant.fixed_point import Int64s
from services.compiler.quant.requantize import Multiplier, quantize_multiplier, requantize, round_half_away
from services.compiler.quant.values import Array, quant_of

STATE_ONE = 1 << 15  # states, gates and the table of the sigmoid are Q15
SUM_ONE = 1 << 12  # sums and biases are Q12
_INT16 = np.iinfo(np.int16)


@dataclass(frozen=True, slots=True)
class CellParams:
    """The numbers of a FastGRNN cell beside its weights: what brings its sums to Q12, and its gains in Q15."""

    input: Multiplier
    recurrent: Multiplier
    zeta: int
    nu: int


def sweep_params(graph: Graph, op: RnnPool) -> CellParams:
    """Return the numbers of the cell that walks along rows and columns."""
    return _params(graph, op.sweep, quant_of(graph, op.input).scale[0], op.zeta[0], op.nu[0])


def summary_params(graph: Graph, op: RnnPool) -> CellParams:
    """Return the numbers of the cell that reads the sweeps' last states, which are Q15."""
    return _params(graph, op.summary, 1 / STATE_ONE, op.zeta[1], op.nu[1])


def _params(graph: Graph, cell: Sequence[TensorId], input_scale: float, zeta: float, nu: float) -> CellParams:
    weights, recurrent = (quant_of(graph, t).scale[0] for t in cell[:2])
    return CellParams(
        quantize_multiplier(input_scale * weights * SUM_ONE),
        quantize_multiplier(recurrent * SUM_ONE / STATE_ONE),
        _q15(zeta),
        _q15(nu),
    )


def _q15(real: float) -> int:
    return min(_INT16.max, round_half_away(real * STATE_ONE))


def sigmoid_table() -> npt.NDArray[np.int16]:
    """Return the sigmoid of -8 to 8 in steps of 1/16, in Q15."""
    x = np.arange(257) / 16 - 8
    return np.minimum(np.floor(STATE_ONE / (1 + np.exp(-x)) + 0.5), _INT16.max).astype(np.int16)


def sigmoid(x_q12: Int64s) -> Int64s:
    """Return the sigmoid in Q15, interpolated linearly; the argument saturates at 16 bits."""
    table = sigmoid_table().astype(np.int64)
    place = _saturated(x_q12) - _INT16.min
    at, part = place >> 8, place & 255
    return np.asarray(table[at] + (((table[at + 1] - table[at]) * part + 128) >> 8), np.int64)


def tanh(x_q12: Int64s) -> Int64s:
    """Return the hyperbolic tangent in Q15: 2 sigmoid(2 x) - 1."""
    return 2 * sigmoid(2 * _saturated(x_q12)) - STATE_ONE


def rnn_pool(graph: Graph, op: RnnPool, arguments: Sequence[Array]) -> Array:
    """Return the int8 output [1, H, W, 4 * summary's hidden size]: rows forwards and backwards, then columns."""
    windows = _windows(graph, op, arguments[0])
    cells = [tuple(a.astype(np.int64) for a in arguments[first : first + 3]) for first in (1, 4)]
    sweep, summary = sweep_params(graph, op), summary_params(graph, op)
    sums = _products(windows, cells[0][0], sweep.input)
    rows = [_run(cells[0], sweep, np.moveaxis(sums[:, y], 1, 0)) for y in range(op.kernel_hw[0])]
    columns = [_run(cells[0], sweep, np.moveaxis(sums[:, :, x], 1, 0)) for x in range(op.kernel_hw[1])]
    passes = (rows, rows[::-1], columns, columns[::-1])
    states = [_run(cells[1], summary, [_products(h, cells[1][0], summary.input) for h in states]) for states in passes]
    values: Int64s = (np.concatenate(states, axis=-1) + 128) >> 8
    return np.minimum(values, 127).astype(np.int8).reshape(graph.tensors[op.output].shape)


def _windows(graph: Graph, op: RnnPool, x_nhwc: Array) -> Int64s:
    """Return the patches [pixels, kernel_h, kernel_w, C] of the input less its zero point, padding as zeros."""
    image = x_nhwc[0].astype(np.int64) - quant_of(graph, op.input).zero_point[0]
    p = op.padding
    padded = np.pad(image, ((p.top, p.bottom), (p.left, p.right), (0, 0)))
    _, out_h, out_w, _ = graph.tensors[op.output].shape
    views = sliding_window_view(padded, op.kernel_hw, axis=(0, 1))[:: op.stride_hw[0], :: op.stride_hw[1]]
    windows: Int64s = views[:out_h, :out_w].transpose(0, 1, 3, 4, 2).reshape(out_h * out_w, *op.kernel_hw, -1)
    return windows


def _products(x: Int64s, weights: Int64s, multiplier: Multiplier) -> Int64s:
    """Return weights times the last axis in Q12; products are summed as float64, exact below 2**53."""
    acc = (x.astype(np.float64) @ weights.T.astype(np.float64)).astype(np.int64)
    return requantize(acc, multiplier.value, multiplier.shift)


def _run(cell: Sequence[Int64s], params: CellParams, sums: Iterable[Int64s]) -> Int64s:
    """Return the last state of a FastGRNN [pixels, hidden] after a sequence of the inputs' sums."""
    _, recurrent, bias = cell
    state: Int64s = np.zeros((1, len(recurrent)), np.int64)
    for from_input in sums:
        total = from_input + _products(state, recurrent, params.recurrent)
        gate, update = sigmoid(total + bias[0]), tanh(total + bias[1])
        gain = (params.zeta * (STATE_ONE - gate) + params.nu * STATE_ONE + (1 << 14)) >> 15
        state = _saturated((np.minimum(gain, _INT16.max) * update + gate * state + (1 << 14)) >> 15)
    return state


def _saturated(values: Int64s) -> Int64s:
    return np.clip(values, _INT16.min, _INT16.max)
