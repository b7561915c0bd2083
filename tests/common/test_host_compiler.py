"""Libraries for this machine: built once for each content, and what the compiler refuses."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from services.common.errors import UnavailableError
from services.common.host_compiler import ToolchainError, build_cached_library


def test_library_is_built_again_when_a_source_or_a_header_changes(tmp_path: Path, cache: Path) -> None:
    header, source, other = tmp_path / "value.h", tmp_path / "value.c", tmp_path / "twice.c"
    header.write_text("#define VALUE 20\nint twice(int value);\n", encoding="ascii")
    source.write_text('#include "value.h"\nint value(void) { return twice(VALUE) + 2; }\n', encoding="ascii")
    other.write_text('#include "value.h"\nint twice(int value) { return 2 * value; }\n', encoding="ascii")
    first = build_cached_library(cache, (source, other))
    assert ctypes.CDLL(str(first)).value() == 42
    assert build_cached_library(cache, (source, other)) == first
    header.write_text("#define VALUE 3\nint twice(int value);\n", encoding="ascii")
    second = build_cached_library(cache, (source, other))
    assert ctypes.CDLL(str(second)).value() == 8
    first.unlink()
    second.unlink()


def test_refused_source_is_told_with_the_compilers_first_lines(tmp_path: Path, cache: Path) -> None:
    source = tmp_path / "broken.c"
    source.write_text("int broken(void) { return nonsense; }\n", encoding="ascii")
    with pytest.raises(ToolchainError, match="nonsense"):
        build_cached_library(cache, (source,))
    assert not list(cache.glob("broken*"))


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    source = tmp_path / "fine.c"
    source.write_text("int fine(void) { return 1; }\n", encoding="ascii")
    with pytest.raises(UnavailableError, match="cannot be made: Not a directory") as told:
        build_cached_library(source / "cache", (source,))
    assert "TINYFARM_CACHE" in told.value.allowed
