"""The C library as the compiler writes it: a zip of flat files with a manifest, checked before anything is used."""

from __future__ import annotations

import io
import math
import re
import zipfile
import zlib
from dataclasses import dataclass

from pydantic import ValidationError

from services.evaluator.errors import LibraryError
from services.evaluator.manifest import ITEM_BYTES, Manifest, TensorSpec

MAX_FILES = 256
MAX_TOTAL_BYTES = 256 * 1024 * 1024
_MAX_RATIO = 200
_FILE_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\.[ch]\Z")
_INCLUDE = re.compile(r"^[ \t]*#[ \t]*(?:include|include_next|import|embed)\b[ \t]*([^\n]*)", re.MULTILINE)
# What is there for people to read, and never built.
_FOR_READERS = frozenset({"README.txt", "main.c.example"})
_SYSTEM_HEADERS = frozenset({"<stdint.h>", "<stddef.h>", "<stdbool.h>", "<limits.h>", "<float.h>", "<arm_acle.h>"})


@dataclass(frozen=True, slots=True)
class CLibrary:
    """A checked C library: its manifest and its files by name (all names safe to write)."""

    manifest: Manifest
    files: tuple[tuple[str, bytes], ...]


def read_library(archive: bytes) -> CLibrary:
    """Return the library in a zip; LibraryError says what is wrong with it."""
    files = dict(_read_zip(archive))
    if "manifest.json" not in files:
        raise LibraryError("the C library has no manifest.json", subject="library")
    manifest = _read_manifest(files.pop("manifest.json"))
    _check_files(manifest, files)
    _check_memory(manifest)
    for name, text in files.items():
        _check_includes(name, text, files)
    return CLibrary(manifest, tuple(sorted(files.items())))


def _read_zip(archive: bytes) -> list[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            entries = opened.infolist()
            if len(entries) > MAX_FILES:
                raise LibraryError(
                    f"the C library has {len(entries)} files, allowed are {MAX_FILES}",
                    subject="library",
                    value=len(entries),
                    allowed=MAX_FILES,
                )
            total = sum(entry.file_size for entry in entries)
            limit = min(MAX_TOTAL_BYTES, _MAX_RATIO * max(len(archive), 4096))
            if total > limit:
                raise LibraryError(
                    f"the C library unpacks to {total} bytes from {len(archive)}, allowed are {limit}",
                    subject="library",
                    value=total,
                    allowed=limit,
                )
            for entry in entries:
                _check_entry(entry)
            return [(entry.filename, opened.read(entry)) for entry in entries if entry.filename not in _FOR_READERS]
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise LibraryError(f"the C library is no zip file that can be read: {error}", subject="library") from error


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise LibraryError(
            f"{name!r} in the C library is compressed by method {entry.compress_type}",
            subject="library file",
            value=entry.compress_type,
            allowed="stored or deflated",
        )
    if name not in ("manifest.json", *_FOR_READERS) and not _FILE_NAME.match(name):
        raise LibraryError(
            f"the C library has a file named {name!r}; "
            "allowed are manifest.json, README.txt, main.c.example and lower-case .c and .h names at top level",
            subject="library file",
            value=name,
            allowed=_FILE_NAME.pattern,
        )


def _read_manifest(text: bytes) -> Manifest:
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "manifest.json"
        raise LibraryError(
            f"manifest.json: {where} is {first['input']!r:.80}: {first['msg']}",
            subject=f"manifest.json: {where}",
            value=repr(first["input"])[:80],
            allowed=first["msg"],
        ) from error


def _check_files(manifest: Manifest, files: dict[str, bytes]) -> None:
    for name in (manifest.header, *manifest.sources):
        if name not in files:
            raise LibraryError(
                f"manifest.json names {name!r}, which is not in the C library", subject="sources", value=name
            )
    for name in manifest.sources:
        if not name.endswith(".c"):
            raise LibraryError(
                f"manifest.json: source {name!r} is no .c file", subject="sources", value=name, allowed="*.c"
            )


def _check_memory(manifest: Manifest) -> None:
    memory = manifest.memory
    parts = memory.input + memory.activations + memory.line_buffers + memory.scratch
    if parts != memory.arena:
        raise LibraryError(
            f"manifest.json: the memory parts add up to {parts} bytes, the arena has {memory.arena}",
            subject="memory",
            value=parts,
            allowed=memory.arena,
        )
    for tensor in (*manifest.inputs, *manifest.outputs):
        _check_tensor(tensor, memory.arena)
    for part in (manifest, manifest.twin):
        if part is not None:
            _check_pulled(part.inputs, part.outputs)
    symbols = [layer.symbol for layer in manifest.layers]
    if len(set(symbols)) != len(symbols):
        raise LibraryError("manifest.json: two layers have the same symbol", subject="layers")


def _check_pulled(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
    """Refuse what is pulled but no only input, or no image: then it has no rows."""
    for tensor in (*inputs, *outputs):
        image = len(tensor.shape) == 4 and tensor.shape[0] == 1
        if tensor.pulled and not (image and inputs == (tensor,)):
            raise LibraryError(
                f"manifest.json: tensor {tensor.name!r}, {list(tensor.shape)}, is pulled",
                subject=tensor.name,
                value=list(tensor.shape),
                allowed="an only input of the shape [1, rows, columns, channels]",
            )


def _check_tensor(tensor: TensorSpec, arena_bytes: int) -> None:
    expected = tensor.elements * ITEM_BYTES[tensor.dtype]
    if tensor.size_bytes != expected:
        raise LibraryError(
            f"manifest.json: tensor {tensor.name!r} has {tensor.size_bytes} bytes, "
            f"{tensor.dtype}{list(tensor.shape)} has {expected}",
            subject=tensor.name,
            value=tensor.size_bytes,
            allowed=expected,
        )
    axes, rank = tensor.permutation, len(tensor.shape)
    if math.prod(tensor.declared) != tensor.elements or (axes is not None and sorted(axes) != list(range(rank))):
        raise LibraryError(
            f"manifest.json: tensor {tensor.name!r} is {list(tensor.shape)} in C and {list(tensor.declared)} in the "
            f"model, with permutation {axes}",
            subject=tensor.name,
            value=axes,
            allowed=f"an order of {rank} axes, and as many elements",
        )
    if not tensor.pulled and tensor.offset_bytes + tensor.size_bytes > arena_bytes:
        raise LibraryError(
            f"manifest.json: tensor {tensor.name!r} ends at byte {tensor.offset_bytes + tensor.size_bytes}, "
            f"the arena has {arena_bytes}",
            subject=tensor.name,
            value=tensor.offset_bytes,
            allowed=arena_bytes,
        )
    if tensor.dtype != tensor.model_dtype and not (tensor.scale and math.isfinite(tensor.scale) and tensor.scale > 0):
        raise LibraryError(
            f"manifest.json: tensor {tensor.name!r} is {tensor.dtype} in C and {tensor.model_dtype} in the model, "
            f"its scale is {tensor.scale}",
            subject=tensor.name,
            value=tensor.scale,
            allowed="a finite scale above 0",
        )


def _check_includes(name: str, text: bytes, files: dict[str, bytes]) -> None:
    """Refuse sources that would read files of this machine: the compiler never writes such, an upload might."""
    plain = text.decode("utf-8", errors="replace").replace("\\\n", "").replace("\\\r\n", "")
    plain = re.sub(r"/\*.*?\*/", " ", plain, flags=re.DOTALL).replace("%:", "#").replace("??=", "#")
    for found in _INCLUDE.finditer(plain):
        wanted = found[1].split("//")[0].strip()
        if wanted not in _SYSTEM_HEADERS and wanted.strip('"') not in files:
            raise LibraryError(
                f"{name} includes {wanted}: allowed are its own files and {', '.join(sorted(_SYSTEM_HEADERS))}",
                subject=name,
                value=wanted,
                allowed=", ".join(sorted(_SYSTEM_HEADERS)),
            )
    if ".incbin" in plain:
        raise LibraryError(f"{name} uses .incbin, which is not allowed", subject=name, value=".incbin")
