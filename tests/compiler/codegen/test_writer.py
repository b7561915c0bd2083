"""The C writer and the text of small constants."""

from __future__ import annotations

import numpy as np
import pytest

from services.compiler.codegen.program import ConstArray, CType, Section
from services.compiler.codegen.writer import Writer
from services.compiler.ir.shapes import dense_strides, nhwc


def test_blocks_indent_and_close() -> None:
    writer = Writer()
    with writer.block("static const tf_x a =", ";"):
        writer.line(".b = 1,")
        with writer.block(".c ="):
            writer.lines(("1,", "2,"))
    assert writer.text() == "static const tf_x a = {\n    .b = 1,\n    .c = {\n        1,\n        2,\n    }\n};\n"


def test_values_are_filled_to_the_line_width() -> None:
    writer = Writer()
    writer.values(range(-128, 128))
    lines = writer.text().splitlines()
    assert max(map(len, lines)) <= 110
    assert [int(v) for line in lines for v in line.rstrip(",").split(",")] == list(range(-128, 128))


def test_no_values_is_no_line() -> None:
    writer = Writer()
    writer.values(())
    assert writer.text() == "\n"


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [((), (1, 1, 1, 1)), ((5,), (1, 1, 1, 5)), ((2, 5), (1, 1, 2, 5)), ((1, 2, 3, 4), (1, 2, 3, 4))],
)
def test_lower_ranks_get_leading_ones(shape: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    assert nhwc(shape) == wanted


def test_rank_five_is_refused() -> None:
    with pytest.raises(ValueError, match="has 5 dimensions: at most 4"):
        nhwc((1, 2, 3, 4, 5))


def test_dense_strides_count_elements() -> None:
    assert dense_strides((2, 3, 4, 5)) == (60, 20, 5, 1)


def test_array_size_is_known_without_values() -> None:
    def no_values() -> np.ndarray:
        raise AssertionError("sizes must not compute values")

    assert ConstArray("000", Section.WEIGHTS, CType.INT32, 7, no_values).size_bytes == 28
