from __future__ import annotations

import numpy as np

from services.compiler.ir.ops import Add, Reshape, Split, Transpose
from services.compiler.ir.text import print_graph
from services.compiler.passes.fold_constants import fold_constants
from tests.compiler.passes.small_graphs import activation, bare, constant, graph, lines, rewritten

MATRIX = np.arange(6, dtype=np.int8).reshape(2, 3)
TENSORS = {
    0: activation(3, 2),
    1: constant(MATRIX),
    2: activation(3, 2),
    3: activation(3, 2),
}
TRANSPOSE = Transpose(name="transpose", inputs=(1,), outputs=(2,), permutation=(1, 0))
ADD = Add(name="add", inputs=(0, 2), outputs=(3,))


def test_operator_of_constants_is_run_at_compile_time() -> None:
    before = graph(TENSORS, [TRANSPOSE, ADD], (3,))
    assert rewritten(fold_constants, before) == lines(
        "inputs %0 : int8[3,2] s=0.5 z=0",
        "%3 = Add(%0, const int8[3,2] s=0.5 z=0) : int8[3,2] s=0.5 z=0",
        "outputs %3",
    )
    data = fold_constants(before).tensors[2].data
    assert data is not None
    assert data.tolist() == MATRIX.T.tolist()


def test_chains_and_several_outputs_are_folded() -> None:
    tensors = {**TENSORS, 4: activation(6, 1), 5: activation(3, 1), 6: activation(3, 1), 7: activation(3, 2)}
    ops = [
        Reshape(name="reshape", inputs=(1,), outputs=(4,)),
        Split(name="split", inputs=(4,), outputs=(5, 6), axis=0),
        Add(name="add", inputs=(0, 6), outputs=(7,)),
    ]
    after = fold_constants(graph(tensors, ops, (7,)))
    assert [op.kind for op in after.ops] == ["Add"]
    data = after.tensors[6].data
    assert data is not None
    assert data.reshape(-1).tolist() == [3, 4, 5]


def test_weight_free_network_is_left_alone() -> None:
    before = graph({**TENSORS, 1: bare(2, 3)}, [TRANSPOSE, ADD], (3,))
    assert rewritten(fold_constants, before) == print_graph(before)


def test_output_stays_computed() -> None:
    before = graph(TENSORS, [TRANSPOSE], (2,))
    assert rewritten(fold_constants, before) == print_graph(before)
