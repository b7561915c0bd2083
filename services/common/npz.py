"""Arrays from an .npz file that somebody sent: bounded, and never unpickled."""

from __future__ import annotations

import io
import math
import zipfile
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidArgumentError

_MAX_ARRAYS = 4096
_MAX_TOTAL_BYTES = 1 << 30
_MAX_HEADER_BYTES = 16384


def read_npz(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """Return all arrays by name; InvalidArgumentError where the file is broken, pickled or unpacks to over 1 GiB."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            total = sum(entry.file_size for entry in entries)
            if len(entries) > _MAX_ARRAYS or total > _MAX_TOTAL_BYTES:
                raise _bad(
                    f"the .npz unpacks to {len(entries)} arrays of {total} bytes in all: "
                    f"at most {_MAX_ARRAYS} of {_MAX_TOTAL_BYTES} bytes are allowed"
                )
            return {entry.filename.removesuffix(".npy"): _read(archive, entry) for entry in entries}
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise _bad(f"the arrays are no readable .npz file: {error}") from error


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> npt.NDArray[Any]:
    with archive.open(entry) as stream:
        # The zip's own size may lie: never take more than it said.
        content = stream.read(entry.file_size)
    header = io.BytesIO(content)
    version = np.lib.format.read_magic(header)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(header, max_header_size=_MAX_HEADER_BYTES)
    if dtype.hasobject:
        raise _bad(f"array {entry.filename!r} holds pickled Python objects, which are never read")
    expected, found = math.prod(shape) * dtype.itemsize, len(content) - header.tell()
    if expected != found:
        raise _bad(f"array {entry.filename!r} has {found} bytes, its header says {expected}")
    flat = np.frombuffer(content, dtype=dtype, offset=header.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def _bad(message: str) -> InvalidArgumentError:
    return InvalidArgumentError(message, reason="BAD_ARRAYS", subject="npz", allowed="a file written by numpy.savez")
