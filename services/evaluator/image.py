"""The firmware image: harness and C library, linked for a target, with everything read from the ELF."""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from services.common.targets import Target
from services.evaluator.errors import LibraryError
from services.evaluator.library import CLibrary
from services.evaluator.manifest import Manifest
from services.evaluator.toolchain import Toolchain

Port = Literal["simulated", "semihosting"]

MIN_STACK_BYTES = 1024
ARENA_ALIGN = 16
_MODEL_HEADER_FLAG = '-DTF_MODEL_HEADER="tf_harness_model.h"'
_STATIC_RESERVE_BYTES = 64
_FIRMWARE = Path(__file__).parent / "firmware"


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes to be written at an address before the start."""

    address: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Symbol:
    """A function in the image: its first address (no Thumb bit) and size in bytes."""

    address: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ImageSizes:
    """Bytes by what they are for; `harness_static` is the harness's, all else the library's."""

    code: int
    weights: int
    tables: int
    static: int
    harness_static: int
    arena: int
    stack_reserved: int

    @property
    def flash(self) -> int:
        """Flash of the library: code, weights and tables."""
        return self.code + self.weights + self.tables


@dataclass(frozen=True, slots=True)
class Image:
    """A linked firmware image; `read_rows` is the harness's function that the model calls for rows of its input."""

    elf: bytes
    target: Target
    segments: tuple[Segment, ...]
    vectors: int
    invoke: Symbol
    layers: tuple[Symbol | None, ...]
    sizes: ImageSizes
    read_rows: Symbol | None = None

    @property
    def code_end(self) -> int:
        """First address after everything in flash."""
        return max(
            segment.address + len(segment.data) for segment in self.segments if segment.address < self.target.sram.base
        )


def build_image(library: CLibrary, target: Target, toolchain: Toolchain, port: Port = "simulated") -> Image:
    """Compile and link; the stack gets all SRAM that arena and static data leave, at least MIN_STACK_BYTES."""
    with tempfile.TemporaryDirectory(prefix="tinyfarm-image-") as name:
        folder = Path(name)
        write_sources(library, folder)
        build = _Build(library.manifest, target, toolchain, folder)
        objects = build.compile(port)
        image = build.link(objects, _STATIC_RESERVE_BYTES)
        static = image.sizes.static + image.sizes.harness_static
        if static > _STATIC_RESERVE_BYTES:
            image = build.link(objects, static + _STATIC_RESERVE_BYTES)
        return image


def write_sources(library: CLibrary, folder: Path) -> None:
    """Write the library's files, and the header by which the harness and the twin find the model."""
    manifest = library.manifest
    for file_name, text in library.files:
        (folder / file_name).write_bytes(text)
    upper = manifest.name.upper()
    pulled = f"#define TF_PULLED_ROW_BYTES {upper}_INPUT_0_ROW_BYTES\n" if manifest.pulled else ""
    (folder / "tf_harness_model.h").write_text(
        f'#include "{manifest.header}"\n'
        f"#define TF_ARENA_BYTES {upper}_ARENA_BYTES\n#define TF_ARENA_ALIGN {upper}_ARENA_ALIGN\n"
        f"#define TF_INVOKE_MODEL {manifest.name}_invoke\n{pulled}"
    )


@dataclass(frozen=True, slots=True)
class _Build:
    manifest: Manifest
    target: Target
    toolchain: Toolchain
    folder: Path

    def compile(self, port: Port) -> tuple[Path, ...]:
        harness = tuple(_FIRMWARE / source for source in ("startup.c", "main.c", f"port_{port}.c"))
        sources = tuple(self.folder / source for source in self.manifest.sources)
        return (
            *self.toolchain.compile(self.target, harness, "harness", self.folder, (_MODEL_HEADER_FLAG,)),
            *self.toolchain.compile(self.target, sources, "library", self.folder),
        )

    def link(self, objects: tuple[Path, ...], static_bytes: int) -> Image:
        arena = -(-self.manifest.memory.arena // ARENA_ALIGN) * ARENA_ALIGN
        left = self.target.sram.size_bytes - arena - static_bytes - 2 * ARENA_ALIGN
        script = (_FIRMWARE / "linker.ld").read_text()
        for key, value in (
            ("FLASH_BASE", self.target.flash.base),
            ("SRAM_BASE", self.target.sram.base),
            ("STACK_BYTES", max(MIN_STACK_BYTES, left // 8 * 8)),
            ("ARENA_ALIGN", ARENA_ALIGN),
        ):
            script = script.replace(f"@{key}@", f"{value:#x}")
        (self.folder / "tf_harness.ld").write_text(script)
        output = self.folder / "tf_firmware.elf"
        self.toolchain.link(self.target, objects, self.folder / "tf_harness.ld", output)
        return read_image(output.read_bytes(), self.manifest, self.target)


def read_image(elf: bytes, manifest: Manifest, target: Target) -> Image:
    """Read segments, symbols and sizes from a linked ELF file.

    Raises LibraryError where it has no symbols, or none of the model's invoke.
    """
    file = ELFFile(io.BytesIO(elf))
    sections = {section.name: section for section in file.iter_sections()}
    symbols = _symbols(file)
    invoke = symbols.get(f"{manifest.name}_invoke")
    if invoke is None:
        raise LibraryError(f"the C library defines no {manifest.name}_invoke", subject="library", value=manifest.name)
    return Image(
        elf=elf,
        target=target,
        segments=tuple(
            Segment(int(part["p_paddr"]), part.data())
            for part in file.iter_segments()
            if part["p_type"] == "PT_LOAD" and part["p_filesz"] > 0
        ),
        vectors=int(sections[".vectors"]["sh_addr"]),
        invoke=invoke,
        layers=tuple(_layer_symbol(layer.symbol, symbols) for layer in manifest.layers),
        sizes=_sizes(file, symbols, manifest),
        read_rows=symbols.get("tf_read_rows") if manifest.pulled else None,
    )


def _symbols(file: ELFFile) -> dict[str, Symbol]:
    """Return what the image defines, by name; addresses of functions without the bit that says Thumb."""
    table = file.get_section_by_name(".symtab")
    if not isinstance(table, SymbolTableSection):
        raise LibraryError("the linked image has no symbol table", subject="image")
    return {
        symbol.name: Symbol(int(symbol["st_value"]) & ~1, int(symbol["st_size"]))
        for symbol in table.iter_symbols()
        if symbol.name and symbol["st_shndx"] != "SHN_UNDEF"
    }


def _sizes(file: ELFFile, symbols: dict[str, Symbol], manifest: Manifest) -> ImageSizes:
    """Return the sizes by what is where: firmware/linker.ld keeps library, harness and runtime in sections apart."""
    size = {section.name: int(section["sh_size"]) for section in file.iter_sections()}
    weights = sum(s.size_bytes for name, s in symbols.items() if name.startswith(f"{manifest.name}_weights_"))
    return ImageSizes(
        code=size.get(".library_code", 0) + size.get(".runtime", 0),
        weights=weights,
        tables=size.get(".library_const", 0) - weights + size.get(".data", 0),
        static=size.get(".data", 0) + size.get(".bss", 0),
        harness_static=size.get(".harness_bss", 0),
        arena=size.get(".arena", 0),
        stack_reserved=size.get(".stack", 0),
    )


def _layer_symbol(name: str, symbols: dict[str, Symbol]) -> Symbol | None:
    """Return the layer's function; compilers add a suffix such as `.constprop.0` to a specialized copy."""
    if name in symbols:
        return symbols[name]
    return next((symbol for key, symbol in symbols.items() if key.startswith(f"{name}.")), None)
