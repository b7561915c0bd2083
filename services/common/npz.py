"""Arrays from an .npz file that somebody sent, bounded and never unpickled; and to one."""

from __future__ import annotations

import io
import math
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidArgumentError

MAX_ARRAYS = 4096
MAX_TOTAL_BYTES = 1 << 30
_MAX_HEADER_BYTES = 16384
# numpy writes no others, and not every Python has them.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UNREADABLE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError, ValueError)
# What numpy's reader of headers lets through besides, from Python's own parsers.
_BAD_HEADER = (ValueError, TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError)

Array = npt.NDArray[Any]


class ArraysError(InvalidArgumentError):
    """The file is no .npz of plain arrays, or they are not the arrays that are wanted."""

    default_reason = "BAD_ARRAYS"


class ArrayFile:
    """An opened .npz: the names of its arrays, each read only when it is asked for.

    Raises ArraysError where the file is broken, or holds more than 4,096 arrays or `max_bytes` once unpacked.
    """

    def __init__(self, data: bytes, max_bytes: int = MAX_TOTAL_BYTES) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            entries = self._zip.infolist()
        except _UNREADABLE as error:
            raise ArraysError(
                f"the arrays are no .npz file: {error}", subject="npz", allowed="a file written by numpy.savez"
            ) from error
        total = sum(entry.file_size for entry in entries)
        if len(entries) > MAX_ARRAYS or total > max_bytes:
            raise ArraysError(
                f"the .npz unpacks to {len(entries)} arrays of {total} bytes in all: "
                f"at most {MAX_ARRAYS} of {max_bytes} bytes are allowed",
                subject="npz",
                value=f"{len(entries)} arrays, {total} bytes",
                allowed=f"at most {MAX_ARRAYS} arrays, {max_bytes} bytes",
            )
        self._entries = {entry.filename.removesuffix(".npy"): entry for entry in entries}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arrays in the file's order."""
        return tuple(self._entries)

    def read(self, name: str) -> Array:
        """Return one array; ArraysError where it is broken or pickled."""
        entry = self._entries[name]
        if entry.compress_type not in _COMPRESSIONS:
            raise ArraysError(
                f"array {name!r} is compressed by method {entry.compress_type}",
                subject=name,
                value=entry.compress_type,
                allowed="stored or deflated, as numpy writes them",
            )
        try:
            with self._zip.open(entry) as stream:
                # The zip's own size may lie: never take more than it said.
                data = stream.read(entry.file_size)
        except _UNREADABLE as error:
            raise ArraysError(f"array {name!r} cannot be read: {error}", subject=name) from error
        return _parse_npy(name, data)


def read_npz(data: bytes, max_bytes: int = MAX_TOTAL_BYTES) -> dict[str, Array]:
    """Return all arrays by name; raises ArraysError as ArrayFile does."""
    file = ArrayFile(data, max_bytes)
    return {name: file.read(name) for name in file.names}


def write_npz(arrays: Mapping[str, Array]) -> bytes:
    """Return an .npz of the arrays under any names: numpy.savez keeps some of them, as `file`, for itself."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
    return buffer.getvalue()


def _parse_npy(name: str, data: bytes) -> Array:
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = reader(stream, max_header_size=_MAX_HEADER_BYTES)
    except _BAD_HEADER as error:
        raise ArraysError(f"array {name!r} is no .npy data: {error}", subject=name) from error
    if dtype.hasobject:
        raise ArraysError(
            f"array {name!r} holds pickled Python objects, which are never read",
            subject=name,
            value=str(dtype),
            allowed="numbers",
        )
    if dtype.itemsize == 0 or not all(type(size) is int and size >= 0 for size in shape):
        raise ArraysError(
            f"array {name!r} says that it is {dtype} of shape {shape}",
            subject=name,
            value=f"{dtype} {shape}",
            allowed="elements of a byte or more, sizes of 0 or more",
        )
    expected, found = math.prod(shape) * dtype.itemsize, len(data) - stream.tell()
    if expected != found:
        raise ArraysError(
            f"array {name!r} has {found} bytes, its header says {expected}", subject=name, value=found, allowed=expected
        )
    flat = np.frombuffer(data, dtype=dtype, offset=stream.tell())
    try:
        return flat.reshape(shape, order="F" if fortran else "C")
    except (ValueError, OverflowError) as error:  # more axes than numpy has, or sizes beside a 0 that it cannot count
        raise ArraysError(f"array {name!r} has a shape that cannot be read: {error}", subject=name) from error
