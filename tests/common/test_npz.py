from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from services.common.errors import InvalidArgumentError
from services.common.npz import read_npz


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def npy(header: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def zipped(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def test_arrays_come_back() -> None:
    arrays = {"x": np.arange(12, dtype=np.int8).reshape(3, 4), "f": np.asfortranarray(np.eye(3, dtype=np.float32))}
    read = read_npz(npz(**arrays))
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


@pytest.mark.parametrize(
    "data",
    {
        "nothing": b"",
        "text": b"no zip at all",
        "truncated": npz(x=np.zeros(1000))[:-30],
        "pickle": npz(x=np.array([{"a": 1}], dtype=object)),
        "bomb": zipped(
            "x.npy", npy(b"{'descr': '|i1', 'fortran_order': False, 'shape': (2147483648,), }\n") + bytes(64)
        ),
        "huge": zipped("x.npy", bytes((1 << 30) + 1)),
        "garbage": zipped("x.npy", b"\x00" * 100),
        "header that computes": zipped("x.npy", npy(b"__import__('os').system('true')\n")),
    }.items(),
    ids=lambda item: item[0],
)
def test_bad_file_is_one_clear_error(data: tuple[str, bytes]) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        read_npz(data[1])
    assert caught.value.reason == "BAD_ARRAYS"
