"""RnnPool's integers stay close to the real function, and never leave 32 bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.compiler.errors import UnsupportedModelError
from services.compiler.importers.supported import check_supported
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Padding, RnnPool
from services.compiler.ir.tensor import QuantParams
from services.compiler.macs import op_macs
from services.compiler.quant.reference import run_graph
from services.compiler.quant.rnn_pool import sigmoid, tanh
from tests.compiler.graph_maker import GraphMaker, random_inputs


def real_grnn(sequence: np.ndarray, cell: tuple[np.ndarray, ...], zeta: float, nu: float) -> np.ndarray:
    """FastGRNN as its paper writes it: sequence [steps, inputs] to the last state."""
    weights, recurrent, gate_bias, update_bias = cell
    h = np.zeros(len(recurrent))
    for x in sequence:
        a = weights @ x + recurrent @ h
        z = 1 / (1 + np.exp(-(a + gate_bias)))
        h = (zeta * (1 - z) + nu) * np.tanh(a + update_bias) + z * h
    return h


def real_rnn_pool(graph: Graph, op: RnnPool, image: np.ndarray) -> np.ndarray:
    """RNNPool as its paper writes it, in real numbers, patch by patch."""

    def real(t: int) -> np.ndarray:
        tensor = graph.tensors[t]
        assert tensor.data is not None
        return tensor.data * (tensor.quant.scale[0] if tensor.quant else 2.0**-12)

    sweep, summary = ((*map(real, cell[:2]), *real(cell[2])) for cell in (op.sweep, op.summary))
    (zeta1, zeta2), (nu1, nu2), p = op.zeta, op.nu, op.padding
    padded = np.pad(image[0], ((p.top, p.bottom), (p.left, p.right), (0, 0)))
    result = np.zeros(graph.tensors[op.output].shape)
    for y in range(result.shape[1]):
        for x in range(result.shape[2]):
            top, left = y * op.stride_hw[0], x * op.stride_hw[1]
            patch = padded[top : top + op.kernel_hw[0], left : left + op.kernel_hw[1]]
            rows = np.array([real_grnn(row, sweep, zeta1, nu1) for row in patch])
            columns = np.array([real_grnn(patch[:, i], sweep, zeta1, nu1) for i in range(patch.shape[1])])
            passes = rows, rows[::-1], columns, columns[::-1]
            result[0, y, x] = np.concatenate([real_grnn(states, summary, zeta2, nu2) for states in passes])
    return result


@pytest.mark.parametrize("seed", range(4))
def test_integers_are_close_to_the_real_function(seed):
    m = GraphMaker(seed=seed)
    x = m.input(1, 9, 10, 3, quant=QuantParams((1 / 64,), (-20,)))
    graph = m.build(m.rnn_pool(x, 8, 6, (5, 4), (2, 3), Padding(1, 0, 2, 1)))
    (op,) = graph.ops
    assert isinstance(op, RnnPool)
    op = replace(op, nu=(0.0, 0.0))
    (image,) = random_inputs(graph, seed)
    (integers,) = run_graph(graph.with_ops((op,)), (image,))
    real = real_rnn_pool(graph, op, (image.astype(np.float64) + 20) / 64)
    assert integers.std() > 20
    error = np.abs(integers / 128 - np.minimum(real, 127 / 128))
    assert error.max() < 2 / 128
    assert error.mean() < 0.5 / 128


def test_nonlinearities_are_within_a_few_units_of_the_last_place():
    x = np.arange(-(1 << 16), 1 << 16, dtype=np.int64)
    real = np.clip(x, -(1 << 15), (1 << 15) - 1) / 4096
    assert np.abs(sigmoid(x) - 32768 / (1 + np.exp(-real))).max() < 3
    assert np.abs(tanh(x) - 32768 * np.tanh(real)).max() < 23  # 2 sigmoid(8) - 1 is the end of the table


def test_states_saturate_where_nu_makes_them_grow():
    m = GraphMaker(seed=1)
    x = m.input(1, 8, 8, 2)
    graph = m.build(m.rnn_pool(x, 3, 3, (8, 8), (1, 1)))
    (op,) = graph.ops
    assert isinstance(op, RnnPool)
    bias = np.full((2, 3), 30_000, np.int32)
    tensors = {t: replace(graph.tensors[t], data=bias) for t in (op.sweep[2], op.summary[2])}
    grown = graph.with_tensors(tensors).with_ops((replace(op, nu=(1.0, 1.0)),))
    (values,) = run_graph(grown, random_inputs(grown, 0))
    assert (values == 127).all()


def test_macs_count_products_with_input_weights_once_a_pixel():
    m = GraphMaker()
    graph = m.build(m.rnn_pool(m.input(1, 8, 8, 3), 4, 5, (8, 8), (8, 8)))
    sweeps, summaries = 64 * (3 * 4 + 2 * 4 * 4), 2 * 16 * (4 * 5 + 5 * 5)
    assert op_macs(graph, graph.ops[0]) == sweeps + summaries


BROKEN = {
    "hidden sizes are 129": lambda m: m.rnn_pool(m.input(1, 4, 4, 1), 129, 2),
    "padding": lambda m: m.rnn_pool(m.input(1, 4, 4, 1), 2, 2, padding=Padding(top=4)),
    "has shape": lambda m: m.rnn_pool(_narrowed(m, m.input(1, 4, 4, 3)), 2, 2),
}


def _narrowed(m: GraphMaker, x: int) -> int:
    """An input whose channels the weights will not fit."""
    m.shape = lambda t: (1, 4, 4, 2) if t == x else m.tensors[t].shape  # type: ignore[method-assign]
    return x


@pytest.mark.parametrize("told", BROKEN)
def test_what_the_kernel_cannot_do_is_refused(told):
    m = GraphMaker()
    with pytest.raises(UnsupportedModelError, match=told):
        check_supported(m.build(BROKEN[told](m)))


def test_weights_that_could_overflow_are_refused():
    m = GraphMaker()
    graph = m.build(m.rnn_pool(m.input(1, 4, 4, 8), 2, 2))
    (op,) = graph.ops
    weights = graph.tensors[op.inputs[1]]
    huge = graph.with_tensors({op.inputs[1]: replace(weights, quant=QuantParams((3000.0,), (0,)))})
    with pytest.raises(UnsupportedModelError, match="too large for sums in Q12"):
        check_supported(huge)
