"""The rules and the table made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from services.compiler.errors import UnsupportedModelError
from services.compiler.importers.supported import RULES, refusals, support_table
from services.compiler.importers.tflite import import_tflite
from services.compiler.ir.ops import MaxPool2D, Op, Padding
from services.compiler.ir.planned_ops import PLANNED_ONLY
from tests.compiler import tflite_models as m
from tests.compiler.tflite_models import Quant


def test_every_operator_has_rules() -> None:
    assert set(RULES) == set(get_args(Op)) - set(PLANNED_ONLY)


def test_table_states_each_rule_in_a_sentence() -> None:
    rows = support_table()
    assert [row.operator for row in rows] == [kind.__name__ for kind in RULES]
    for row in rows:
        assert row.summary
        assert all(rule.endswith(".") for rule in row.rules), row


REFUSED = {
    "output scale .* is too small": m.binary("ADD", (1, 4), (1, 4), result=Quant(1e-8, 0)),
    "output has scale 0.05 and zero point 0: must be 1/256 and -128": m.unary("LOGISTIC", "", (1, 4)),
    "must be 1/128 and 0": m.unary("TANH", "", (1, 4)),
    "leave the range of 16-bit arithmetic": m.unary("HARD_SWISH", "HardSwishOptions", (1, 4), result=Quant(1e-4, 0)),
    "tensor 'tensor_0' is float32: quantize": m.unary("RELU", "", (1, 4), dtypes=("float32", "float32")),
    "must be int8": m.unary("RELU", "", (1, 4), dtypes=("uint8", "uint8")),
    "has 5 dimensions: must have at most 4": m.with_constants(
        "TRANSPOSE", "TransposeOptions", (1, 2, 3, 4, 5), [(5, 4, 3, 2, 1)], [[4, 3, 2, 1, 0]]
    ),
    "has batch 2: must be 1": m.with_constants(
        "RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions", (2, 2, 2, 1), [(2, 4, 4, 1)], [[4, 4]]
    ),
    "the slice gives \\[1, 3\\]": m.with_constants(
        "STRIDED_SLICE", "StridedSliceOptions", (1, 8), [(1, 4)], [[0, 0], [1, 3], [1, 1]]
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refusal(message: str) -> None:
    with pytest.raises(UnsupportedModelError, match=message):
        import_tflite(REFUSED[message], "model")


def test_pool_window_must_see_the_image() -> None:
    graph = import_tflite(m.pool2d("MAX_POOL_2D", (1, 4, 4, 2), (2, 2)), "model")
    (pool,) = graph.ops
    assert isinstance(pool, MaxPool2D)
    padded = graph.with_ops([replace(pool, padding=Padding(top=2))])
    assert [r.reason[:8] for r in refusals(padded)] == ["padding "]


def test_grouped_convolution_is_refused() -> None:
    graph = import_tflite(m.conv2d((1, 4, 4, 4), 4, (1, 1)), "model")
    grouped = graph.with_tensors({1: replace(graph.tensors[1], shape=(4, 1, 1, 2), data=None)})
    assert "grouped convolution must be split" in refusals(grouped)[0].reason


def test_rules_hold_without_weights() -> None:
    graph = import_tflite(m.conv2d((1, 4, 4, 4), 4, (1, 1)), "model")
    bare = graph.with_tensors({t: replace(v, data=None) for t, v in graph.tensors.items()})
    assert refusals(bare) == ()
