"""The C library's zip and manifest: what is refused, and with which words."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from services.evaluator.errors import LibraryError
from services.evaluator.library import read_library
from tests.evaluator.c_library import Recipe, files, library, manifest, zipped


def with_manifest(change: Callable[[dict[str, Any]], None]) -> bytes:
    facts = manifest(Recipe())
    change(facts)
    return zipped({**files(Recipe()), "manifest.json": json.dumps(facts)})


def with_file(name: str, text: str) -> bytes:
    return zipped({**files(Recipe()), name: text})


def without_file(name: str) -> bytes:
    return zipped({key: text for key, text in files(Recipe()).items() if key != name})


def with_lzma() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("tiny.c", "int x;")
    return buffer.getvalue()


def with_damaged_stream() -> bytes:
    """The compressed bytes of the first file begin with a block of the type that does not exist."""
    archive = bytearray(library(Recipe()))
    start = 30 + int.from_bytes(archive[26:28], "little") + int.from_bytes(archive[28:30], "little")
    archive[start] = 0xFF
    return bytes(archive)


BAD = {
    "damaged stream": (with_damaged_stream(), "no zip file that can be read"),
    "another compression": (with_lzma(), "'tiny.c' in the C library is compressed by method 14"),
    "no zip": (b"PK not really", "no zip file"),
    "empty": (b"", "no zip file"),
    "no manifest": (without_file("manifest.json"), "no manifest.json"),
    "manifest is no JSON": (with_file("manifest.json", "{"), "manifest.json"),
    "schema unknown": (with_manifest(lambda m: m.update(schema="tinyfarm.library/9")), "schema"),
    "name is C code": (with_manifest(lambda m: m.update(name="a; system()")), "name is 'a; system()'"),
    "name is a path": (with_manifest(lambda m: m.update(name="../x")), "name is '../x'"),
    "source missing": (without_file("tiny_weights.c"), "'tiny_weights.c', which is not in the C library"),
    "source is no C": (with_manifest(lambda m: m.update(sources=["tiny.h"])), "'tiny.h' is no .c file"),
    "file with a path": (with_file("../evil.c", ""), "'../evil.c'"),
    "file in a folder": (with_file("a/b.c", ""), "'a/b.c'"),
    "file of another kind": (with_file("build.sh", ""), "'build.sh'"),
    "absolute include": (with_file("tiny.c", '#include "/etc/passwd"\n'), '"/etc/passwd"'),
    "include in disguise": (with_file("tiny.c", '#/* */inc\\\nlude "/etc/passwd"\n'), '"/etc/passwd"'),
    "include by macro": (with_file("tiny.c", "#define F <stdio.h>\n#include F\n"), "includes F"),
    "incbin": (with_file("tiny.c", '__asm__(".incbin \\"/etc/passwd\\"");'), ".incbin"),
    "negative MACs": (with_manifest(lambda m: m.update(macs=-1)), "macs is -1"),
    "parts do not add up": (with_manifest(lambda m: m["memory"].update(scratch=4)), "add up to 84 bytes"),
    "tensor outside the arena": (with_manifest(lambda m: m["inputs"][0].update(offset_bytes=64)), "ends at byte 128"),
    "tensor of a wrong size": (with_manifest(lambda m: m["inputs"][0].update(size_bytes=63)), "int8[1, 64] has 64"),
    "pulled vector": (with_manifest(lambda m: m["inputs"][0].update(pulled=True)), "[1, 64], is pulled"),
    "pulled output": (with_manifest(lambda m: m["outputs"][0].update(pulled=True)), "'out', [1, 10], is pulled"),
    "one of two is pulled": (
        with_manifest(lambda m: m["inputs"].append({**m["inputs"][0], "shape": [1, 8, 8, 1], "pulled": True})),
        "[1, 8, 8, 1], is pulled",
    ),
    "scale is NaN": (with_manifest(lambda m: m["inputs"][0].update(scale=float("nan"))), "scale"),
    "scale is zero": (with_manifest(lambda m: m["inputs"][0].update(scale=0.0)), "scale is 0.0"),
    "no inputs": (with_manifest(lambda m: m.update(inputs=[])), "inputs"),
    "symbol is C code": (with_manifest(lambda m: m["layers"][0].update(symbol="f(); g")), "symbol"),
    "symbols twice": (with_manifest(lambda m: m.update(layers=m["layers"] * 2)), "same symbol"),
}


@pytest.mark.parametrize(("archive", "words"), BAD.values(), ids=BAD.keys())
def test_bad_library_is_refused_with_one_clear_error(archive: bytes, words: str) -> None:
    with pytest.raises(LibraryError) as caught:
        read_library(archive)
    assert words in caught.value.message
    assert caught.value.reason == "BAD_LIBRARY"


def test_good_library_keeps_manifest_and_files() -> None:
    found = read_library(library())
    assert found.manifest.name == "tiny"
    assert found.manifest.model_name == '"; rm -rf ~'
    assert [name for name, _ in found.files] == ["tiny.c", "tiny.h", "tiny_weights.c"]


def test_zip_bomb_is_refused_before_it_is_unpacked() -> None:
    archive = with_file("bomb.c", "0" * (64 << 20))
    assert len(archive) < 1 << 20
    with pytest.raises(LibraryError, match="unpacks to"):
        read_library(archive)


def test_too_many_files_are_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(300):
            archive.writestr(f"f{number}.c", "")
    with pytest.raises(LibraryError, match="300 files"):
        read_library(buffer.getvalue())
