from __future__ import annotations

import pytest

from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Add, Relu, Softmax
from services.compiler.ir.text import print_graph
from services.compiler.passes.fuse_activation import fuse_activation
from tests.compiler.passes.small_graphs import activation, graph, lines, rewritten


def added(
    fused: Activation = Activation.NONE, scale: float = 0.5, kind: Activation = Activation.RELU6, extra: bool = False
) -> Graph:
    tensors = {0: activation(1, 4), 1: activation(1, 4), 2: activation(1, 4, scale=scale)}
    add = Add(name="add", inputs=(0, 0), outputs=(1,), activation=fused)
    return graph(
        tensors, [add, Relu(name="relu", inputs=(1,), outputs=(2,), activation=kind)], (2, 1) if extra else (2,)
    )


def test_relu_of_the_same_scale_becomes_the_activation() -> None:
    assert rewritten(fuse_activation, added()) == lines(
        "inputs %0 : int8[1,4] s=0.5 z=0",
        "%2 = Add(%0, %0) activation=relu6 : int8[1,4] s=0.5 z=0",
        "outputs %2",
    )


def test_the_same_relu_twice_is_one() -> None:
    assert "Relu(" not in rewritten(fuse_activation, added(fused=Activation.RELU6))


KEPT = {
    "other scale rounds again": added(scale=0.25),
    "producer has another activation": added(fused=Activation.RELU),
    "the sum is an output": added(extra=True),
    "producer cannot clamp": graph(
        {0: activation(1, 4), 1: activation(1, 4), 2: activation(1, 4)},
        [Softmax(name="softmax", inputs=(0,), outputs=(1,)), Relu(name="relu", inputs=(1,), outputs=(2,))],
        (2,),
    ),
}


@pytest.mark.parametrize("reason", KEPT)
def test_relu_stays(reason: str) -> None:
    assert rewritten(fuse_activation, KEPT[reason]) == print_graph(KEPT[reason])
