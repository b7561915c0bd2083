from __future__ import annotations

import numpy as np
import pytest

from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Conv2D, DepthwiseConv2D
from services.compiler.ir.tensor import DType
from services.compiler.passes.convolve_one_channel import convolve_one_channel
from services.compiler.quant.reference import run_graph
from tests.compiler.graph_maker import GraphMaker, random_inputs
from tests.compiler.passes.small_graphs import rewritten


def depthwise(channels: int, multiplier: int, **kw: object) -> Graph:
    m = GraphMaker(seed=3)
    return m.build(m.depthwise(m.input(1, 9, 7, channels), multiplier, **kw))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"kernel": (5, 2), "stride": (2, 1), "activation": Activation.RELU},
        {"dilation": (2, 2)},
        {"weights": DType.INT4},
    ],
    ids=["same", "strided", "dilated", "int4"],
)
def test_filters_of_one_channel_become_a_convolution_with_the_same_bits(options: dict[str, object]) -> None:
    before = depthwise(1, 6, **options)
    after = convolve_one_channel(before)
    assert [type(op) for op in after.ops] == [Conv2D]
    assert after.tensors[after.ops[0].inputs[1]].shape[0] == 6
    inputs = random_inputs(before, 1)
    np.testing.assert_array_equal(run_graph(after, inputs)[0], run_graph(before, inputs)[0])
    rewritten(convolve_one_channel, before)


@pytest.mark.parametrize(("channels", "multiplier"), [(1, 1), (2, 3), (4, 1)])
def test_other_depthwise_convolutions_stay(channels: int, multiplier: int) -> None:
    after = convolve_one_channel(depthwise(channels, multiplier))
    assert [type(op) for op in after.ops] == [DepthwiseConv2D]
