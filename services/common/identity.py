"""What the tools are, as far as it decides their results: identical work is told by it."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tinyfarm import __version__

_SERVICES = Path(__file__).parents[1]
# What a compile or evaluate result depends on; the search is no part of them.
_FOLDERS = ("common", "compiler", "evaluator")
_SUFFIXES = {".py", ".c", ".h", ".ld", ".S", ".yaml"}
_PACKAGES = ("onnxruntime", "unicorn", "ziglang")


@cache
def tool_version() -> str:
    """Return version+digest: the digest is of the sources and of the packages that results come from.

    The same version with a changed kernel is another tool, so that no stale result is served from a cache.
    """
    digest = hashlib.sha256()
    for folder in _FOLDERS:
        for path in sorted((_SERVICES / folder).rglob("*")):
            if path.suffix in _SUFFIXES:
                digest.update(path.relative_to(_SERVICES).as_posix().encode() + b"\0" + path.read_bytes())
    for package in _PACKAGES:
        digest.update(f"{package} {_version(package)}".encode())
    return f"{__version__}+{digest.hexdigest()[:12]}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
