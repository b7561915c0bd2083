from __future__ import annotations

from dataclasses import replace

import pytest

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Conv2D, DepthwiseConv2D, MaxPool2D, Op, Pad, Padding
from services.compiler.ir.text import print_graph
from services.compiler.passes.fuse_pad import fuse_pad
from tests.compiler.passes.small_graphs import activation, bare, graph, lines, rewritten

PAD = Pad(name="pad", inputs=(0,), outputs=(1,), before=(0, 1, 2, 0), after=(0, 0, 1, 0), value=-3)
CONV = Conv2D(name="conv", inputs=(1, 2), outputs=(3,), padding=Padding(bottom=1))
TENSORS = {
    0: activation(1, 4, 4, 2, zero_point=-3),
    1: activation(1, 5, 7, 2, zero_point=-3),
    2: bare(2, 3, 3, 2),
    3: activation(1, 4, 5, 2),
}


def padded(pad: Pad = PAD, *readers: Op, outputs: tuple[int, ...] = (3,)) -> Graph:
    return graph(TENSORS, [pad, *(readers or (CONV,))], outputs)


def test_pad_becomes_padding_of_the_convolution_on_top_of_its_own() -> None:
    assert rewritten(fuse_pad, padded()) == lines(
        "inputs %0 : int8[1,4,4,2] s=0.5 z=-3",
        "%3 = Conv2D(%0, const int8[2,3,3,2] s=0.5 z=0) padding=1,1,2,1 : int8[1,4,5,2] s=0.5 z=0",
        "outputs %3",
    )


def test_pad_of_a_pad_is_absorbed_too() -> None:
    tensors = {**TENSORS, 4: activation(1, 4, 3, 2, zero_point=-3)}
    first = replace(PAD, inputs=(4,), outputs=(0,), before=(0, 0, 1, 0), after=(0, 0, 0, 0))
    chain = graph(tensors, [first, PAD, CONV], (3,), (4,))
    assert "Conv2D(%4, const int8[2,3,3,2] s=0.5 z=0) padding=1,1,3,1" in rewritten(fuse_pad, chain)


def test_pad_is_absorbed_by_all_its_readers() -> None:
    tensors = {**TENSORS, 4: bare(1, 3, 3, 2), 5: activation(1, 3, 5, 2)}
    other = DepthwiseConv2D(name="depthwise", inputs=(1, 4), outputs=(5,))
    text = rewritten(fuse_pad, graph(tensors, [PAD, CONV, other], (3, 5)))
    assert "Pad" not in text
    assert "DepthwiseConv2D(%0, const int8[1,3,3,2] s=0.5 z=0) padding=1,0,2,1" in text


KEPT = {
    "value is not the zero point": padded(replace(PAD, value=0)),
    "channels are padded": graph(
        {**TENSORS, 1: activation(1, 5, 7, 3, zero_point=-3), 2: bare(2, 3, 3, 3)},
        [replace(PAD, after=(0, 0, 1, 1)), CONV],
        (3,),
    ),
    "pad is an output": padded(PAD, CONV, outputs=(3, 1)),
    "another operator reads it": graph(
        {**TENSORS, 4: activation(1, 4, 6, 2, zero_point=-3)},
        [PAD, CONV, MaxPool2D(name="pool", inputs=(1,), outputs=(4,), kernel_hw=(2, 2))],
        (3, 4),
    ),
    "quantization changes": graph({**TENSORS, 0: activation(1, 4, 4, 2, zero_point=-2)}, [PAD, CONV], (3,)),
}


@pytest.mark.parametrize("reason", KEPT)
def test_pad_stays(reason: str) -> None:
    assert rewritten(fuse_pad, KEPT[reason]) == print_graph(KEPT[reason])
