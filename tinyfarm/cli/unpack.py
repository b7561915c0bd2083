"""A C library's archive into a folder."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

from tinyfarm.client import ServerFaultError

_MEMBER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_MAX_BYTES = 512 * 1024 * 1024


def unpack_library(archive: bytes, folder: Path) -> tuple[Path, ...]:
    """Write the files of a library; `ServerFaultError` for names that are not flat and plain, or too many bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    with zipfile.ZipFile(io.BytesIO(archive)) as source:
        if sum(member.file_size for member in source.infolist()) > _MAX_BYTES:
            raise ServerFaultError("the library unpacks to more than 512 MiB", reason="BAD_LIBRARY", subject="library")
        for member in source.infolist():
            if not _MEMBER.fullmatch(member.filename):
                raise ServerFaultError(
                    f"the library holds a file named {member.filename!r}", reason="BAD_LIBRARY", subject=member.filename
                )
            path = folder / member.filename
            path.write_bytes(source.read(member))
            written.append(path)
    return tuple(written)
