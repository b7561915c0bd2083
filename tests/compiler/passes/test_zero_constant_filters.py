from __future__ import annotations

from dataclasses import replace

import numpy as np

from services.compiler.ir import ops
from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Padding
from services.compiler.ir.tensor import DType, QuantParams, Tensor, TensorId
from services.compiler.ir.text import print_graph
from services.compiler.passes.zero_constant_filters import zero_constant_filters
from services.compiler.quant.reference import run_graph
from tests.compiler.graph_maker import random_inputs
from tests.compiler.passes.small_graphs import activation, bare, graph


def depthwise(biases: list[int], scales: tuple[float, ...]) -> Graph:
    """3x3 depthwise convolution of ones on 8-bit values, with padding, clamped at zero."""
    count = len(biases)
    data = np.ones((1, 3, 3, count), np.int8)
    tensors = {
        0: activation(1, 4, 4, count),
        1: Tensor("w", data.shape, DType.INT8, QuantParams(scales, (0,) * count, 3), data, is_constant=True),
        2: Tensor("b", (count,), DType.INT32, None, np.array(biases, np.int32), is_constant=True),
        3: activation(1, 4, 4, count, zero_point=-128),
    }
    border = Padding(1, 1, 1, 1)
    op = ops.DepthwiseConv2D(
        name="depthwise", inputs=(0, 1, 2), outputs=(3,), padding=border, activation=Activation.RELU
    )
    return graph(tensors, [op], (3,))


def constants(graph: Graph) -> tuple[list[int], list[int]]:
    """The sum of each filter's weights, and the biases, of the only operator."""
    weights, bias = (graph.tensors[t].data for t in graph.ops[0].inputs[1:])
    assert weights is not None
    assert bias is not None
    return [int(v) for v in weights.sum(axis=(0, 1, 2))], [int(v) for v in bias]


def test_filters_that_always_clamp_or_vanish_read_nothing() -> None:
    # nine values of -128 to 127 sum to -1152 to 1143; with a scale of 1e-6 every output rounds to zero
    before = depthwise([0, -1144, -1143, 5000, 7], (0.25, 0.25, 0.25, 0.25, 1e-6))
    after = zero_constant_filters(before)
    sums, biases = constants(after)
    assert sums == [9, 0, 0, 0, 0]
    assert biases[0] == 0
    inputs = random_inputs(before, 0)
    np.testing.assert_array_equal(run_graph(after, inputs)[0], run_graph(before, inputs)[0])


def test_filter_stays_where_one_sum_shows() -> None:
    # the largest sum, 1143 * 0.25, less 1141 * 0.25 rounds to one step above zero
    before = depthwise([-1141], (0.25,))
    assert zero_constant_filters(before) == before


def test_what_is_known_of_the_input_counts() -> None:
    """After a clamp at zero the sums are not negative, so a filter of -1 gives zero."""
    first = depthwise([0], (0.25,))
    more: dict[TensorId, Tensor] = {
        4: Tensor("w", (1, 1, 1, 1), DType.INT8, QuantParams((0.25,), (0,)), np.full((1, 1, 1, 1), -1, np.int8), True),
        5: activation(1, 4, 4, 1, zero_point=-128),
    }
    second = ops.Conv2D(name="conv", inputs=(3, 4), outputs=(5,))
    after = zero_constant_filters(graph({**first.tensors, **more}, [*first.ops, second], (5,)))
    data = after.tensors[after.ops[1].inputs[1]].data
    assert data is not None
    assert data.ravel().tolist() == [0]


def test_weight_free_network_is_left_alone() -> None:
    before = depthwise([-2000], (0.25,))
    weight_free = before.with_tensors({1: bare(1, 3, 3, 1), 2: replace(before.tensors[2], data=None)})
    assert print_graph(zero_constant_filters(weight_free)) == print_graph(weight_free)
    assert zero_constant_filters(weight_free).ops == weight_free.ops
