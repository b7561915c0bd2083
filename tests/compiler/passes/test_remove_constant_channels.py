from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.compiler.importers.tflite import import_tflite
from services.compiler.ir import ops
from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Padding
from services.compiler.ir.tensor import DType, QuantParams, Tensor
from services.compiler.ir.text import print_graph
from services.compiler.macs import graph_macs
from services.compiler.passes.optimize import optimize
from services.compiler.passes.remove_constant_channels import remove_constant_channels
from services.compiler.quant.reference import run_graph
from tests.compiler.graph_maker import random_inputs
from tests.compiler.passes.small_graphs import activation, graph, lines, rewritten

SHARED = Path(__file__).parents[4] / "shared"
RELU = Activation.RELU
ZERO = -128


def weights(*shape: int, axis: int = 0, zeroed: Sequence[int] = (), unread: Sequence[int] = ()) -> Tensor:
    """Return weights of ones, some filters of them zero, some input channels of them read by none."""
    data = np.ones(shape, np.int8)
    np.moveaxis(data, axis, 0)[list(zeroed)] = 0
    data[..., list(unread)] = 0
    count = shape[axis]
    return Tensor("w", shape, DType.INT8, QuantParams((0.25,) * count, (0,) * count, axis), data, is_constant=True)


def bias(*values: int) -> Tensor:
    data = np.array(values, np.int32)
    return Tensor("b", data.shape, DType.INT32, None, data, is_constant=True)


def mobile(
    *, first_bias: Sequence[int], padding: Padding, last_unread: Sequence[int] = (), zeroed: Sequence[int] = (1,)
) -> Graph:
    """Pointwise -> depthwise 3x3 -> pointwise, all with scales of 0.25 or 0.5; filter 1 of the first one is zero."""
    size = 4 - 2 + padding.top + padding.bottom
    tensors = {
        0: activation(1, 4, 4, 2),
        1: weights(3, 1, 1, 2, zeroed=zeroed),
        2: bias(*first_bias),
        3: activation(1, 4, 4, 3, zero_point=ZERO),
        4: weights(1, 3, 3, 3, axis=3),
        5: bias(0, 0, 0),
        6: activation(1, size, size, 3, zero_point=ZERO),
        7: weights(2, 1, 1, 3, unread=last_unread),
        8: bias(5, 6),
        9: activation(1, size, size, 2),
    }
    chain = [
        ops.Conv2D(name="expand", inputs=(0, 1, 2), outputs=(3,), activation=RELU),
        ops.DepthwiseConv2D(name="depthwise", inputs=(3, 4, 5), outputs=(6,), padding=padding, activation=RELU),
        ops.Conv2D(name="project", inputs=(6, 7, 8), outputs=(9,)),
    ]
    return graph(tensors, chain, (9,))


SAME = Padding(1, 1, 1, 1)
WITHOUT_CHANNEL_1 = lines(
    "inputs %0 : int8[1,4,4,2] s=0.5 z=0",
    "%3 = Conv2D(%0, const int8[2,1,1,2] s[2]@0, const int32[2]) activation=relu : int8[1,4,4,2] s=0.5 z=-128",
    "%6 = DepthwiseConv2D(%3, const int8[1,3,3,2] s[2]@3, const int32[2]) {}activation=relu : int8[1,{},{},2] s=0.5 "
    "z=-128",
    "%9 = Conv2D(%6, const int8[2,1,1,2] s[2]@0, const int32[2]) : int8[1,{},{},2] s=0.5 z=0",
    "outputs %9",
)
PADDED = WITHOUT_CHANNEL_1.format("padding=1,1,1,1 ", 4, 4, 4, 4)
UNPADDED = WITHOUT_CHANNEL_1.format("", 2, 2, 2, 2)


def last_bias(graph: Graph) -> list[int]:
    last = graph.ops[-1]
    assert isinstance(last, ops.Conv2D | ops.FullyConnected)
    assert last.bias is not None
    data = graph.tensors[last.bias].data
    assert data is not None
    return [int(v) for v in data]


REMOVED = {
    # name: network, text, biases of the last operator
    "zero and padded with zero": (mobile(first_bias=(1, 0, 2), padding=SAME), PADDED, [5, 6]),
    "negative, so clamped to zero": (mobile(first_bias=(1, -9, 2), padding=SAME), PADDED, [5, 6]),
    # 8 * 0.25 = 2 = 4 steps above zero; nine of them times 0.25 are 9 steps above zero
    "positive without padding": (mobile(first_bias=(1, 16, 2), padding=Padding()), UNPADDED, [14, 15]),
    # clamped at 255 steps in the interior, and in the corners too
    "saturated, whatever the padding": (mobile(first_bias=(1, 1020, 2), padding=SAME), PADDED, [260, 261]),
    "other at the borders, but unread": (mobile(first_bias=(1, 16, 2), padding=SAME, last_unread=(1,)), PADDED, [5, 6]),
}


@pytest.mark.parametrize("name", REMOVED)
def test_channel_is_removed(name: str) -> None:
    before, text, biases = REMOVED[name]
    assert rewritten(remove_constant_channels, before) == text
    after = remove_constant_channels(before)
    assert last_bias(after) == biases
    for seed in range(3):
        inputs = random_inputs(before, seed)
        np.testing.assert_array_equal(run_graph(after, inputs)[0], run_graph(before, inputs)[0])


def with_tensor(graph: Graph, t: int, tensor: Tensor) -> Graph:
    return graph.with_tensors({t: tensor})


def without_weights(graph: Graph) -> Graph:
    bare = {t: replace(tensor, data=None) for t, tensor in graph.tensors.items()}
    return graph.with_tensors(bare)


def one_side_of_a_sum() -> Graph:
    """The sum's other side varies in the same channel."""
    tensors = {
        0: activation(1, 4, 4, 2),
        1: weights(2, 1, 1, 2, zeroed=(1,)),
        2: bias(0, 0),
        3: activation(1, 4, 4, 2, zero_point=ZERO),
        4: weights(2, 1, 1, 2),
        5: bias(0, 0),
        6: activation(1, 4, 4, 2),
        7: activation(1, 4, 4, 2),
        8: weights(1, 1, 1, 2),
        9: bias(0),
        10: activation(1, 4, 4, 1),
    }
    chain = [
        ops.Conv2D(name="left", inputs=(0, 1, 2), outputs=(3,), activation=RELU),
        ops.Conv2D(name="right", inputs=(0, 4, 5), outputs=(6,)),
        ops.Add(name="sum", inputs=(3, 6), outputs=(7,)),
        ops.Conv2D(name="last", inputs=(7, 8, 9), outputs=(10,)),
    ]
    return graph(tensors, chain, (10,))


BORDERS = mobile(first_bias=(1, 16, 2), padding=SAME)
ZEROS = mobile(first_bias=(1, 0, 2), padding=SAME)
KEPT = {
    "constant that is not the zero point, padded": BORDERS,
    "bias of the reader would overflow": with_tensor(
        mobile(first_bias=(1, 16, 2), padding=Padding()), 8, bias((1 << 31) - 5, 0)
    ),
    "graph has no weights": without_weights(ZEROS),
    "it is an output": replace(ZEROS, outputs=(9, 6)),
    "only one side of a sum is constant": one_side_of_a_sum(),
}


@pytest.mark.parametrize("reason", KEPT)
def test_channel_stays(reason: str) -> None:
    assert rewritten(remove_constant_channels, KEPT[reason]) == print_graph(KEPT[reason])


def test_one_channel_is_left_of_a_constant_tensor() -> None:
    before = mobile(first_bias=(0, 0, 0), padding=SAME, zeroed=(0, 1, 2))
    after = remove_constant_channels(before)
    assert [after.tensors[t].shape[-1] for t in (3, 6)] == [1, 1]


@pytest.mark.parametrize(("channels", "zeroed", "left"), [(12, 3, 12), (12, 4, 8), (12, 7, 8), (13, 3, 12), (6, 3, 3)])
def test_multiples_of_four_channels_are_left_or_fewer_than_four(channels: int, zeroed: int, left: int) -> None:
    tensors = {
        0: activation(1, 4, 4, 2),
        1: weights(channels, 1, 1, 2, zeroed=range(zeroed)),
        2: activation(1, 4, 4, channels),
        3: weights(2, 3, 3, channels),
        4: activation(1, 4, 4, 2),
    }
    chain = [
        ops.Conv2D(name="first", inputs=(0, 1), outputs=(2,)),
        ops.Conv2D(name="second", inputs=(2, 3), outputs=(4,), padding=SAME),
    ]
    before = graph(tensors, chain, (4,))
    after = remove_constant_channels(before)
    assert after.tensors[2].shape[-1] == left
    inputs = random_inputs(before, 0)
    np.testing.assert_array_equal(run_graph(after, inputs)[0], run_graph(before, inputs)[0])


def test_both_sides_of_a_sum_lose_the_channel() -> None:
    before = with_tensor(one_side_of_a_sum(), 4, weights(2, 1, 1, 2, zeroed=(1,)))
    after = remove_constant_channels(before)
    assert [after.tensors[t].shape[-1] for t in (3, 6, 7)] == [1, 1, 1]


def flattened(features: int) -> Graph:
    """Pointwise -> [1, 2, 2, 3] -> flattened to 12 features -> dense by channel."""
    tensors = {
        0: activation(1, 2, 2, 2),
        1: weights(3, 1, 1, 2, zeroed=(2,)),
        2: bias(0, 0, 8),
        3: activation(1, 2, 2, 3, zero_point=ZERO),
        4: activation(1, 12, zero_point=ZERO),
        5: weights(features, 12),
        6: activation(1, features),
    }
    chain = [
        ops.Conv2D(name="conv", inputs=(0, 1, 2), outputs=(3,), activation=RELU),
        ops.Reshape(name="flatten", inputs=(3,), outputs=(4,)),
        ops.FullyConnected(name="dense", inputs=(4, 5), outputs=(6,)),
    ]
    return graph(tensors, chain, (6,))


def test_channel_is_found_again_in_a_flattened_tensor_and_makes_a_bias() -> None:
    before = flattened(2)
    assert rewritten(remove_constant_channels, before) == lines(
        "inputs %0 : int8[1,2,2,2] s=0.5 z=0",
        "%3 = Conv2D(%0, const int8[2,1,1,2] s[2]@0, const int32[2]) activation=relu : int8[1,2,2,2] s=0.5 z=-128",
        "%4 = Reshape(%3) : int8[1,8] s=0.5 z=-128",
        "%6 = FullyConnected(%4, const int8[2,8] s[2]@0, const int32[2]) : int8[1,2] s=0.5 z=0",
        "outputs %6",
    )
    # 8 * 0.25 = 2 steps above zero at 4 positions
    assert last_bias(remove_constant_channels(before)) == [8, 8]


def test_dense_layer_by_channel_keeps_two_filters_and_with_them_its_rounding() -> None:
    before = flattened(2)
    tail = {7: weights(1, 2, zeroed=(), unread=(0, 1)), 8: activation(1, 1)}
    chain = (*before.ops, ops.FullyConnected(name="tail", inputs=(6, 7), outputs=(8,)))
    after = remove_constant_channels(graph({**before.tensors, **tail}, chain, (8,)))
    assert after.tensors[6].shape == (1, 2)


@pytest.mark.skipif(not SHARED.exists(), reason="the real models of ../shared/models are not here")
def test_half_of_a_pruned_model_goes_and_its_outputs_stay() -> None:
    model = import_tflite((SHARED / "models" / "vww_96_int8.tflite").read_bytes(), "vww")
    after = optimize(model)
    assert (graph_macs(model), graph_macs(after)) == (7_489_664, 3_766_476)
    for seed in range(10):
        inputs = random_inputs(model, seed)
        np.testing.assert_array_equal(run_graph(after, inputs)[0], run_graph(model, inputs)[0])
