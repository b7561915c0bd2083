"""Views: whatever transposes and reshapes come, storing the view gives what numpy gives."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.compiler.importers.onnx.builder import MAX_RANK, GraphBuilder
from services.compiler.importers.onnx.view import plain, reshaped, transposed
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Transpose
from services.compiler.ir.tensor import DType, QuantParams
from services.compiler.quant.reference import run_graph

TYPE = QuantParams((1.0,), (0,))
SHAPES = [(2, 3, 4, 1), (24,), (6, 4), (1, 2, 12), (3, 8), (2, 2, 6), (4, 6, 1), (1, 24), (2, 2, 3, 2), (8, 1, 3)]


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[int, ...] | str]:
    """Shapes to reshape to, and seeds of permutations."""
    return draw(st.lists(st.one_of(st.sampled_from(SHAPES), st.integers(0, 99).map(str)), max_size=6))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.sampled_from(SHAPES), steps())
def test_stored_view_is_what_numpy_computes(start: tuple[int, ...], changes: Sequence[tuple[int, ...] | str]) -> None:
    builder = GraphBuilder()
    source = builder.add("x", start, DType.INT8, TYPE)
    x = np.arange(prod(start), dtype=np.int8).reshape(start)
    view, expected = plain(source, start), x
    for change in changes:
        if isinstance(change, tuple):
            view, expected = reshaped(view, change), expected.reshape(change)
            continue
        order = tuple(int(a) for a in np.random.default_rng(int(change)).permutation(expected.ndim))
        moved = transposed(view, order)
        view = moved or transposed(plain(builder.store(view), view.shape), order)  # type: ignore[assignment]
        expected = expected.transpose(order)
    assert view.shape == expected.shape
    result = builder.store(view)
    assert all(len(op.permutation) <= MAX_RANK for op in builder.ops if isinstance(op, Transpose))
    (stored,) = run_graph(Graph("view", builder.tensors, tuple(builder.ops), (source,), (result,)), [x])
    assert np.array_equal(stored, expected)


def test_indices_say_where_each_element_is_stored() -> None:
    view = transposed(plain(0, (1, 2, 3, 4)), (0, 3, 1, 2))
    assert view is not None
    flat = np.arange(24)
    assert np.array_equal(flat[view.indices()], flat.reshape(1, 2, 3, 4).transpose(0, 3, 1, 2).reshape(-1))


def test_transposes_that_undo_each_other_leave_the_stored_tensor() -> None:
    first = transposed(plain(7, (1, 3, 4, 5)), (0, 2, 3, 1))
    assert first is not None
    assert transposed(first, (0, 3, 1, 2)) == plain(7, (1, 3, 4, 5))


def test_whole_image_moves_in_one_transpose_of_its_own_axes() -> None:
    builder = GraphBuilder()
    view = transposed(plain(builder.add("x", (1, 3, 4, 5), DType.INT8, TYPE), (1, 3, 4, 5)), (0, 2, 3, 1))
    assert view is not None
    assert builder.tensors[builder.store(view)].shape == (1, 4, 5, 3)
    assert [op.permutation for op in builder.ops if isinstance(op, Transpose)] == [(0, 2, 3, 1)]
    assert len(builder.ops) == 1


def test_reshape_to_another_size_is_an_error() -> None:
    with pytest.raises(ValueError, match="cannot be reshaped"):
        reshaped(plain(0, (2, 3)), (7,))
