"""Networks as they are linked and run on the simulated board of a core: what functions and layers cost there."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from benchmarks.cost_networks import core_kernel_networks, kernel_networks
from services.compiler.ir.graph import Graph
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.options import CompileOptions, Core, Interface, Kernels, kernel_set
from services.compiler.pipeline import compile_graph, compile_model
from services.compiler.planned import Planned, plan_network
from services.evaluator.arrays import seeded_samples
from services.evaluator.boards.board import Write
from services.evaluator.boards.unicorn import UnicornBoard
from services.evaluator.farm import load_farm
from services.evaluator.image import build_image
from services.evaluator.interface import to_c
from services.evaluator.library import read_library
from services.evaluator.measure.latency import Counter, Timing
from services.evaluator.measure.memory import fits
from services.evaluator.toolchain import Toolchain

BOARDS = {
    Core.CORTEX_M0PLUS: "rp2040",
    Core.CORTEX_M4: "nucleo-l4r5zi",
    Core.CORTEX_M7: "stm32h743",
    Core.CORTEX_M33: "nucleo-u575zi",
}
# far above what any of these networks needs
MOST_INSTRUCTIONS, TIME_LIMIT_S = 4_000_000_000, 600.0
# names of functions that more than one kernel file has for itself
STATIC = frozenset(
    ("inside", "border", "row", "run", "sum", "dot", "clipped", "channel", "fill_row", "fill_plane", "taps", "taps3x3",
     "vector", "round_half_away", "dot2", "leading_zeros", "fill", "load_rows",
     "run_whole", "run_pixels", "border_row", "pixel", "window", "expand_windows", "copy_run", "gather", "turn_of",
     "step", "expand_taps", "move_down", "channels", "four_sums", "largest", "total", "divide", "reciprocal",
     "taps_inside", "to_int8", "to_uint8",
     "tf_one_over_one_plus", "tf_mul_q31", "tf_shift_left_saturated")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Subject:
    """What a table is of."""

    core: Core
    kernels: Kernels

    @property
    def kernel_set(self) -> KernelSet:
        """The kernels that the options come to."""
        return kernel_set(self.options(Interface.INT8))

    def options(self, interface: Interface) -> CompileOptions:
        """Return what to compile for."""
        return CompileOptions(BOARDS[self.core], self.core, interface=interface, kernels=self.kernels)


@dataclass(frozen=True, slots=True)
class Measured:
    """A network as linked, and what its layers cost on the board: None where it does not fit."""

    planned: Planned
    elf: bytes
    code_bytes: int
    flash_bytes: int
    timing: Timing | None


def run(graph: Graph, subject: Subject, cache: Path) -> Measured:
    """Compile a graph with its own interface and run it once on the core's board."""
    library = compile_graph(graph, graph, subject.options(Interface.FLOAT)).library_zip
    return on_board(library, plan_network(graph, subject.kernel_set), subject, cache)


def run_model(path: Path, subject: Subject, cache: Path) -> Measured:
    """Compile a model file and run it once."""
    compiled = compile_model(path.read_bytes(), path.stem, subject.options(Interface.INT8))
    return on_board(compiled.library_zip, plan_network(compiled.graph, subject.kernel_set), subject, cache)


def on_board(library_zip: bytes, planned: Planned, subject: Subject, cache: Path) -> Measured:
    """Link a library and run it once: cycles are those of the core alone, without waiting for its flash."""
    library, board = read_library(library_zip), load_farm().board(BOARDS[subject.core])
    image = build_image(library, board.facts, Toolchain("zig", cache), board.port)
    manifest, timing = library.manifest, None
    if all(fit.ok for fit in fits(manifest, image)):
        inputs = zip(manifest.inputs, seeded_samples(manifest.inputs).inputs, strict=True)
        writes = tuple(Write(s.offset_bytes, np.ascontiguousarray(to_c(s, x)[0]).tobytes()) for s, x in inputs)
        with UnicornBoard(cache, TIME_LIMIT_S) as simulated:
            simulated.flash(image)
            profile = simulated.run(writes, (), MOST_INSTRUCTIONS).profile
        timing = Counter(image).timing(profile) if profile is not None else None
    return Measured(planned, image.elf, image.sizes.code, image.sizes.flash, timing)


def linked_functions(elf: bytes) -> dict[str, int]:
    """Return the bytes of every function of the library and its runtime but the network's own, word-aligned."""
    file = ELFFile(io.BytesIO(elf))
    names = [section.name for section in file.iter_sections()]
    table = file.get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    found: dict[int, tuple[str, int]] = {}  # by address: the runtime's routines have several names
    for symbol in table.iter_symbols():
        where, start = symbol["st_shndx"], int(symbol["st_value"])
        if symbol["st_info"]["type"] != "STT_FUNC" or not isinstance(where, int) or symbol.name.startswith("probe_"):
            continue
        if names[where] in (".library_code", ".runtime"):
            named = symbol.name, int(symbol["st_size"])
            found[start] = min(found.get(start, named), named)
    return {name: -(-size // 4) * 4 for name, size in found.values()}


def kernel_functions(kernel: str, measured: Measured) -> dict[str, int]:
    """Return the bytes of what a network of one kernel links, under the kernel's own name where static.

    Routines that are generated for a layer are left out: their sizes are known from their instructions.
    """
    generated = {routine.name for source in measured.planned.program.sources() for routine in source.routines()}
    return {
        (f"{kernel}.{name}" if name in STATIC else name): size
        for name, size in linked_functions(measured.elf).items()
        if name not in generated
    }


def code_table(
    subject: Subject, cache: Path, *, only: str | None = None
) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Return the bytes of every function, and what each kernel links, or `only` one."""
    sizes: dict[str, int] = {}
    needs: dict[str, list[str]] = {}
    own = subject.kernel_set is not KernelSet.PORTABLE
    for kernel, graph in core_kernel_networks(subject.kernel_set) if own else kernel_networks():
        if only not in (None, kernel):
            continue
        named = kernel_functions(kernel, run(graph, subject, cache))
        if kernel == "tf_limit_s8":  # what that network needs beyond is the pixels' kernel
            named = {name: size for name, size in named.items() if name == kernel}
        if kernel == "tf_fill_s8":  # the pad of that network copies, too
            named = {name: size for name, size in named.items() if name not in ("tf_copy_s8", "tf_copy_bytes")}
        sizes |= named
        needs[kernel] = sorted(named)
    return sizes, needs
