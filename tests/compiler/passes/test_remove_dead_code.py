from __future__ import annotations

from services.compiler.ir.ops import Logistic, Split, Tanh
from services.compiler.passes.remove_dead_code import remove_dead_code
from tests.compiler.passes.small_graphs import activation, graph, lines, rewritten


def test_unread_operators_and_tensors_go_inputs_stay() -> None:
    tensors = {t: activation(1, 4) for t in range(5)}
    ops = [
        Tanh(name="read", inputs=(0,), outputs=(2,)),
        Tanh(name="dead", inputs=(1,), outputs=(3,)),
        Logistic(name="dead too", inputs=(3,), outputs=(4,)),
    ]
    assert rewritten(remove_dead_code, graph(tensors, ops, (2,), (0, 1))) == lines(
        "inputs %0 : int8[1,4] s=0.5 z=0, %1 : int8[1,4] s=0.5 z=0",
        "%2 = Tanh(%0) : int8[1,4] s=0.5 z=0",
        "outputs %2",
    )


def test_split_with_one_read_part_stays() -> None:
    tensors = {0: activation(1, 4), 1: activation(1, 2), 2: activation(1, 2)}
    split = Split(name="split", inputs=(0,), outputs=(1, 2), axis=1)
    assert "%1, %2 = Split(%0) axis=1" in rewritten(remove_dead_code, graph(tensors, [split], (2,)))
