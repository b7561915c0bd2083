"""Averages of sums, every sum there is: quotients with halves away from zero, and their clamp."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from services.compiler.kernels.portable_set import KERNEL_HEADER, kernel_text

Sums = npt.NDArray[np.int32]
NAME = "tf_pool_of_sums_s8"


class Output(ctypes.Structure):
    _fields_ = [("zero_point", ctypes.c_int16), ("min", ctypes.c_int16), ("max", ctypes.c_int16)]


class Params(ctypes.Structure):
    _fields_ = [("pixels", ctypes.c_int32), ("channels", ctypes.c_int32), ("out", Output)]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder, name = tmp_path_factory.mktemp("pools"), f"{NAME}.c"
    for file in (KERNEL_HEADER, name):
        (folder / file).write_text(kernel_text(file))
    command = (sys.executable, "-m", "ziglang", "cc", "-std=c99", "-O2", "-shared", "-fPIC", "-fsanitize=undefined")
    subprocess.run([*command, "-fsanitize-trap=all", "-o", "pools.so", name], cwd=folder, check=True, timeout=120)
    return ctypes.CDLL(str(folder / "pools.so"))[NAME]


def averages(kernel: Any, sums: Sums, pixels: int, low: int = -128, high: int = 127) -> npt.NDArray[np.int8]:
    found = np.zeros(sums.size, np.int8)
    params, pointers = Params(pixels, sums.size, Output(5, low, high)), (sums.ctypes.data, found.ctypes.data)
    kernel(ctypes.byref(params), None, *(ctypes.c_void_p(at) for at in pointers))
    return found


def expected(sums: Sums, pixels: int) -> npt.NDArray[np.int64]:
    wide = sums.astype(np.int64)
    return np.sign(wide) * ((2 * np.abs(wide) + pixels) // (2 * pixels))


def test_every_sum_of_small_images(kernel: Any) -> None:
    for pixels in range(1, 300):
        sums = np.arange(-128 * pixels, 127 * pixels + 1, dtype=np.int32)
        np.testing.assert_array_equal(averages(kernel, sums, pixels), expected(sums, pixels), f"{pixels} pixels")


@pytest.mark.parametrize("pixels", [2896, 2897, 4096, 12_544, 50_176, 1 << 20, (1 << 20) + 1])
def test_sums_beside_every_half_and_at_both_ends_of_large_images(kernel: Any, pixels: int) -> None:
    halves = (2 * np.arange(-128, 127) + 1) * pixels // 2
    beside = np.concatenate([halves + step for step in range(-2, 3)])
    sums = np.array([*beside, -128 * pixels, 127 * pixels, 0], np.int32)
    np.testing.assert_array_equal(averages(kernel, sums, pixels), expected(sums, pixels))


def test_averages_are_clamped(kernel: Any) -> None:
    sums = np.arange(-1280, 1271, dtype=np.int32)
    np.testing.assert_array_equal(averages(kernel, sums, 10, -7, 42), np.clip(expected(sums, 10), -7, 42))
