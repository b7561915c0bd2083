from __future__ import annotations

import pytest

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import (
    Concatenation,
    Logistic,
    Op,
    Pad,
    Quantize,
    Reshape,
    ResizeNearestNeighbor,
    Split,
    StridedSlice,
    Tanh,
    Transpose,
)
from services.compiler.ir.text import print_graph
from services.compiler.passes.drop_identities import drop_identities
from tests.compiler.passes.small_graphs import activation, graph, lines, rewritten

SHAPE = (1, 2, 3, 2)
IO = {"name": "same", "inputs": (1,), "outputs": (2,)}
IDENTITIES: dict[str, Op] = {
    "reshape": Reshape(**IO),
    "quantize": Quantize(**IO),
    "transpose": Transpose(**IO, permutation=(0, 1, 2, 3)),
    "pad": Pad(**IO, before=(0,) * 4, after=(0,) * 4, value=0),
    "slice": StridedSlice(**IO, begin=(0,) * 4, end=SHAPE, strides=(1,) * 4),
    "resize": ResizeNearestNeighbor(**IO),
    "concatenation": Concatenation(**IO, axis=3),
    "split": Split(**IO, axis=3),
}
BEFORE = Tanh(name="before", inputs=(0,), outputs=(1,))
AFTER = Logistic(name="after", inputs=(2,), outputs=(3,))
TENSORS = {t: activation(*SHAPE) for t in range(4)}


@pytest.mark.parametrize("name", IDENTITIES)
def test_identity_between_operators_is_dropped(name: str) -> None:
    assert rewritten(drop_identities, graph(TENSORS, [BEFORE, IDENTITIES[name], AFTER], (3,))) == lines(
        "inputs %0 : int8[1,2,3,2] s=0.5 z=0",
        "%1 = Tanh(%0) : int8[1,2,3,2] s=0.5 z=0",
        "%3 = Logistic(%1) : int8[1,2,3,2] s=0.5 z=0",
        "outputs %3",
    )


def test_identity_before_the_output_is_dropped_and_the_output_keeps_its_tensor() -> None:
    assert rewritten(drop_identities, graph(TENSORS, [BEFORE, IDENTITIES["reshape"]], (2,))) == lines(
        "inputs %0 : int8[1,2,3,2] s=0.5 z=0",
        "%2 = Tanh(%0) : int8[1,2,3,2] s=0.5 z=0",
        "outputs %2",
    )


def test_reshape_of_a_reshape_reads_the_first_input() -> None:
    tensors = {**TENSORS, 1: activation(12), 2: activation(3, 4), 3: activation(3, 4)}
    ops = [
        Reshape(name="a", inputs=(0,), outputs=(1,)),
        Reshape(name="b", inputs=(1,), outputs=(2,)),
        AFTER,
    ]
    assert rewritten(drop_identities, graph(tensors, ops, (3,))) == lines(
        "inputs %0 : int8[1,2,3,2] s=0.5 z=0",
        "%2 = Reshape(%0) : int8[3,4] s=0.5 z=0",
        "%3 = Logistic(%2) : int8[3,4] s=0.5 z=0",
        "outputs %3",
    )


def kept(op: Op, **changed: object) -> Graph:
    tensors = {**TENSORS, 2: activation(*SHAPE, **changed)}  # type: ignore[arg-type]
    return graph(tensors, [BEFORE, op, AFTER], (3,))


KEPT = {
    "requantization": kept(IDENTITIES["quantize"], scale=0.25),
    "relabeling": kept(IDENTITIES["reshape"], zero_point=1),
    "backwards slice": kept(
        StridedSlice(**IO, begin=(0, 1, 0, 0), end=(1, -1, 3, 2), strides=(1, -1, 1, 1)),
    ),
    "from input to output": graph(TENSORS, [Reshape(name="copy", inputs=(0,), outputs=(1,))], (1,)),
    "resize that shifts by one": kept(
        ResizeNearestNeighbor(**IO, align_corners=True, half_pixel_centers=True),
    ),
    "square transpose": graph(
        {t: activation(2, 2) for t in range(4)},
        [BEFORE, Transpose(**IO, permutation=(1, 0)), AFTER],
        (3,),
    ),
}


@pytest.mark.parametrize("reason", KEPT)
def test_operator_stays(reason: str) -> None:
    assert rewritten(drop_identities, KEPT[reason]) == print_graph(KEPT[reason])
