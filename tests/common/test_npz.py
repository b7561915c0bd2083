from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from services.common.errors import InvalidArgumentError
from services.common.npz import read_npz, write_npz


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def npy(header: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def zipped(name: str, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def shaped(shape: str, content: bytes = b"", descr: str = "|i1") -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n"
    return zipped("x.npy", npy(header.encode()) + content)


def damaged(archive: bytes) -> bytes:
    """The compressed bytes of the first member begin with a block of the type that does not exist."""
    start = 30 + int.from_bytes(archive[26:28], "little") + int.from_bytes(archive[28:30], "little")
    return archive[:start] + b"\xff" + archive[start + 1 :]


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
        "compressed by another method": zipped("x.npy", npy(b"{}\n"), zipfile.ZIP_LZMA),
        "damaged stream": damaged(npz(x=np.arange(1000) % 7)),
        "open bracket in the header": zipped("x.npy", npy(b"{'descr': (\n")),
        "ten thousand brackets": zipped("x.npy", npy(b"(" * 10_000 + b"\n")),
        "size below 0": shaped("(0, -1)"),
        "size that is a truth value": shaped("(True,)", bytes(1)),
        "sizes beyond counting": shaped("(0, 4611686018427387904, 4611686018427387904)"),
        "more axes than numpy has": shaped(f"({'1, ' * 70})", bytes(1)),
        "elements of no bytes": shaped("(5,)", descr="<U0"),
        "header that computes": zipped("x.npy", npy(b"__import__('os').system('true')\n")),
    }.items(),
    ids=lambda item: item[0],
)
def test_bad_file_is_one_clear_error(data: tuple[str, bytes]) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        read_npz(data[1])
    assert caught.value.reason == "BAD_ARRAYS"


def test_arrays_may_have_the_names_that_numpy_keeps_for_itself() -> None:
    arrays = {"file": np.arange(3, dtype=np.int8), "allow_pickle": np.asfortranarray(np.eye(2)), "a;\n": np.float32(1)}
    with np.load(io.BytesIO(write_npz(arrays)), allow_pickle=False) as file:
        assert file.files == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(file[name], array)
