"""Tensors, graphs, their invariants and their text."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Conv2D, Padding, Split, Tanh
from services.compiler.ir.tensor import DType, QuantParams, Tensor, quoted
from services.compiler.ir.text import print_graph
from services.compiler.ir.verify import InvalidGraphError, verify

QUANT = QuantParams((0.5,), (0,))
X = Tensor("x", (1, 4), DType.INT8, QUANT)
TANH = Tanh(name="tanh", inputs=(0,), outputs=(1,))
GRAPH = Graph("g", {0: X, 1: X}, (TANH,), (0,), (1,))

INVALID_QUANT = {
    "scale is nan": ((float("nan"),), (0,), None),
    "scale is inf": ((float("inf"),), (0,), None),
    "scale is 0.0": ((0.0,), (0,), None),
    "scale is -1.0": ((-1.0,), (0,), None),
    "2 scales and 1 zero points": ((1.0, 1.0), (0,), 0),
    "2 scales without an axis": ((1.0, 1.0), (0, 0), None),
    "0 scales and 0 zero points": ((), (), None),
}


@pytest.mark.parametrize("message", INVALID_QUANT)
def test_quantization_is_checked(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        QuantParams(*INVALID_QUANT[message])


def test_tensor_is_checked() -> None:
    with pytest.raises(ValueError, match=r"has shape \(1, 0\): every dimension must be at least 1"):
        Tensor("x", (1, 0), DType.INT8)
    with pytest.raises(ValueError, match="has data but is not a constant"):
        Tensor("x", (2,), DType.INT8, data=np.zeros(2, np.int8))
    with pytest.raises(ValueError, match=r"has data int16\[2\]: must be int8\[2\]"):
        Tensor("x", (2,), DType.INT8, data=np.zeros(2, np.int16), is_constant=True)


def test_sizes_are_bytes_and_int4_is_packed() -> None:
    sizes = {d: Tensor("x", (3, 3), d).size_bytes for d in DType}
    assert sizes[DType.INT4] == 5
    assert sizes[DType.INT8] == sizes[DType.UINT8] == sizes[DType.BOOL] == 9
    assert sizes[DType.INT16] == 18
    assert sizes[DType.INT32] == sizes[DType.FLOAT32] == 36
    assert sizes[DType.INT64] == 72


def test_value_ranges() -> None:
    assert DType.INT4.value_range == (-8, 7)
    assert DType.INT8.value_range == (-128, 127)
    assert DType.UINT8.value_range == (0, 255)
    with pytest.raises(ValueError, match="float32 has no integer range"):
        _ = DType.FLOAT32.value_range


def test_negative_padding_is_refused() -> None:
    with pytest.raises(ValueError, match="is negative"):
        Padding(top=-1)


BROKEN = {
    "names tensors \\[7\\] that it does not hold": replace(GRAPH, outputs=(7,)),
    "names tensor 7, which the graph does not hold": replace(GRAPH, ops=(replace(TANH, inputs=(7,)),)),
    "reads tensors \\[1\\] before they are written": replace(GRAPH, ops=(replace(TANH, inputs=(1,)),)),
    "writes tensors \\[1\\] a second time": replace(GRAPH, ops=(TANH, TANH)),
    "writes tensors \\[0\\] a second time": replace(GRAPH, ops=(TANH, replace(TANH, outputs=(0,)))),
    "are written by no operator": replace(GRAPH, ops=()),
}


@pytest.mark.parametrize("message", BROKEN)
def test_verify_names_the_broken_invariant(message: str) -> None:
    with pytest.raises(InvalidGraphError, match=message):
        verify(BROKEN[message])


def test_graph_survives_pickling_and_is_frozen() -> None:
    copy = pickle.loads(pickle.dumps(GRAPH))
    assert (copy.ops, dict(copy.tensors)) == (GRAPH.ops, dict(GRAPH.tensors))
    with pytest.raises(TypeError):
        GRAPH.tensors[5] = X  # type: ignore[index]


def test_consumers_name_each_reader_once() -> None:
    twice = replace(TANH, inputs=(0, 0))
    assert replace(GRAPH, ops=(twice,)).consumers() == {0: (twice,), 1: ()}


def test_text_shows_attributes_that_differ_from_their_default() -> None:
    weights = Tensor("w", (3, 1, 1, 2), DType.INT8, QuantParams((0.1,) * 3, (0,) * 3, 0), is_constant=True)
    tensors = {0: Tensor("i", (1, 4, 4, 2), DType.INT8, QUANT), 1: weights, 2: Tensor("o", (1, 2, 5, 3), DType.INT8)}
    conv = Conv2D(name="c", inputs=(0, 1), outputs=(2,), stride_hw=(2, 1), padding=Padding(left=1))
    assert print_graph(Graph("g", tensors, (conv,), (0,), (2,))) == (
        "inputs %0 : int8[1,4,4,2] s=0.5 z=0\n"
        "%2 = Conv2D(%0, const int8[3,1,1,2] s[3]@0) stride_hw=(2, 1) padding=0,0,1,0 : int8[1,2,5,3]\n"
        "outputs %2"
    )


def test_text_of_several_outputs() -> None:
    half = Tensor("h", (1, 2), DType.INT8, QUANT)
    split = Split(name="s", inputs=(0,), outputs=(1, 2), axis=1)
    text = print_graph(Graph("g", {0: X, 1: half, 2: half}, (split,), (0,), (1, 2)))
    assert text.split("\n")[1] == "%1, %2 = Split(%0) axis=1 : int8[1,2] s=0.5 z=0, int8[1,2] s=0.5 z=0"


def test_long_names_are_shortened_in_messages() -> None:
    assert quoted("a\n") == "'a\\n'"
    assert len(quoted("x" * 5000)) < 90
