"""An image transposed where it lies, of any size and pixels of any bytes, and nothing beside it."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.compiler.kernels.host_kernel import host_kernel

GUARD = 8  # bytes behind the image and behind the scratch that must stay


class Params(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in ("rows", "cols", "pixel_bytes")]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return host_kernel("tf_transpose_image_s8", tmp_path_factory.mktemp("transpose"))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1 << 30),
    rows=st.integers(1, 40),
    cols=st.integers(1, 40),
    pixel_bytes=st.sampled_from((1, 1, 2, 3, 3, 4, 5, 8, 12, 13)),
)
@example(seed=0, rows=64, cols=128, pixel_bytes=3)  # powers of two: cycles are short, and many
@example(seed=0, rows=2, cols=1500, pixel_bytes=1)
@example(seed=0, rows=300, cols=300, pixel_bytes=1)  # places beyond 16 bits
def test_image_is_transposed_in_place(kernel: Any, seed: int, rows: int, cols: int, pixel_bytes: int) -> None:
    random = np.random.default_rng(seed)
    image = random.integers(-128, 128, (rows, cols, pixel_bytes)).astype(np.int8)
    held = np.concatenate((image.ravel(), np.full(GUARD, 77, np.int8)))
    scratch_bytes = (rows * cols + 7) // 8
    scratch = random.integers(-128, 128, scratch_bytes + GUARD).astype(np.int8)
    behind = scratch[scratch_bytes:].copy()
    pointers = (a.ctypes.data_as(ctypes.c_void_p) for a in (held, scratch))
    kernel(ctypes.byref(Params(rows, cols, pixel_bytes)), None, *pointers)
    np.testing.assert_array_equal(held[:-GUARD].reshape(cols, rows, pixel_bytes), image.swapaxes(0, 1))
    assert held[-GUARD:].tolist() == [77] * GUARD
    np.testing.assert_array_equal(scratch[scratch_bytes:], behind)
