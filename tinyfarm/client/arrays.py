"""Arrays to and from .npz bytes, without pickle."""

from __future__ import annotations

import io
import tokenize
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tinyfarm.client.errors import InvalidInputError

# AttributeError: np.load of a lone .npy array, which has no members.
_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, tokenize.TokenError, OSError, EOFError, NotImplementedError, ValueError, TypeError,
    OverflowError, AttributeError,
)  # fmt: skip


def write_npz(arrays: Mapping[str, npt.NDArray[np.generic]] | npt.NDArray[np.generic]) -> bytes:
    """The arrays as .npz; one array alone goes under the key `input`. Object arrays are refused."""
    named = {"input": arrays} if isinstance(arrays, np.ndarray) else dict(arrays)
    for key, array in named.items():
        if array.dtype.hasobject:
            raise InvalidInputError(
                f"array {key!r} holds Python objects",
                reason="OBJECT_ARRAY",
                subject=key,
                value=str(array.dtype),
                allowed="integers and floats",
            )
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for key, array in named.items():
            # Not np.savez: it takes a key "file" for its own. A fixed time keeps equal arrays equal bytes.
            with archive.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
    return sink.getvalue()


def read_npz(content: bytes) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays of .npz bytes by name; `InvalidInputError` where they are none or hold Python objects."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except _UNREADABLE as error:
        raise InvalidInputError(f"not a readable .npz file: {error}", reason="BAD_NPZ", subject="npz") from None
