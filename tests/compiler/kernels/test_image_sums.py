"""Sums of an image whose parts come one after the other, as stages compute them: rings of rows, patches with halos."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.compiler.ir.tensor import DType
from services.compiler.planned import plan_network
from tests.compiler.graph_maker import GraphMaker
from tests.compiler.kernels.host_kernel import host_kernel

Image = npt.NDArray[np.int8]
Cuts = tuple[int, ...]


class Region(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_int32) for name in ("row_start", "row_stop", "col_start", "col_stop", "wrap_row", "wrap_bytes")
    ]


class Params(ctypes.Structure):
    _fields_ = [("in_row_stride", ctypes.c_int32), ("channels", ctypes.c_int32)]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return host_kernel("tf_image_sums_s8", tmp_path_factory.mktemp("sums"))


def spans(cuts: Cuts, size: int) -> Iterator[tuple[int, int]]:
    edges = sorted({0, size, *(cut % size for cut in cuts)})
    yield from pairwise(edges)


def add_part(kernel: Any, image: Image, rows: tuple[int, int], cols: tuple[int, int], halo: int, sums: Any) -> None:
    """Add a part that lies in a buffer of its own, with so many pixels more on every side, whatever their values."""
    height, width, channels = rows[1] - rows[0] + 2 * halo, cols[1] - cols[0] + 2 * halo, image.shape[2]
    held = np.full((height, width, channels), 99, np.int8)
    held[halo : height - halo, halo : width - halo] = image[slice(*rows), slice(*cols)]
    # where row 0, column 0 of the image would lie
    start = held.ctypes.data - (rows[0] - halo) * width * channels - (cols[0] - halo) * channels
    region = Region(*rows, *cols, (1 << 31) - 1, 0)
    params = Params(width * channels, channels)
    kernel(ctypes.byref(params), ctypes.byref(region), ctypes.c_void_p(start), sums.ctypes.data_as(ctypes.c_void_p))


def test_an_image_of_int16_is_refused() -> None:
    m = GraphMaker(activations=DType.INT16)
    graph = m.build(m.mean_in_halves(m.input(1, 4, 4, 3)))
    with pytest.raises(AssertionError, match=r"ImageSums .* is int16: must be int8"):
        _ = plan_network(graph).program


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1 << 30),
    shape=st.tuples(st.integers(1, 14), st.integers(1, 14), st.integers(1, 11)),
    rows=st.tuples(st.integers(0, 99), st.integers(0, 99)),
    cols=st.tuples(st.integers(0, 99)),
    halo=st.integers(0, 2),
)
def test_parts_of_an_image_add_up(
    kernel: Any, seed: int, shape: tuple[int, int, int], rows: Cuts, cols: Cuts, halo: int
) -> None:
    image = np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)
    sums = np.full(shape[2] + 2, 7, np.int32)  # what an inference before has left, and a value behind
    for _ in range(2):
        for some_rows in spans(rows, shape[0]):
            for some_cols in spans(cols, shape[1]):
                add_part(kernel, image, some_rows, some_cols, halo, sums[:-1])
        np.testing.assert_array_equal(sums[:-2], image.astype(np.int64).sum(axis=(0, 1)))
    assert sums[-2:].tolist() == [7, 7]


def test_no_pixel_but_those_of_the_region_is_added(kernel: Any) -> None:
    image, sums = np.full((3, 4, 5), 100, np.int8), np.full(5, 1000, np.int32)
    add_part(kernel, image, (1, 2), (0, 4), 1, sums)
    assert sums.tolist() == [1400] * 5
    add_part(kernel, image, (0, 1), (2, 3), 1, sums)
    assert sums.tolist() == [1500] * 5
    add_part(kernel, image, (0, 1), (0, 1), 1, sums)
    assert sums.tolist() == [100] * 5
