"""What flash figures count for the Cortex-M0+ kernels is what the compiler makes: structs' and routines' bytes."""

from __future__ import annotations

import subprocess
import sys
from itertools import product
from pathlib import Path

from elftools.elf.elffile import ELFFile

from services.compiler.kernels.portable_set import KERNEL_HEADER, kernel_text
from services.compiler.kernels.source import KernelSource
from services.compiler.kernels.thumb1 import files
from services.compiler.kernels.thumb1.depthwise import DepthwiseRow, supported
from services.compiler.kernels.thumb2.encoding import code_bytes


def compiled(text: str, folder: Path) -> Path:
    (folder / KERNEL_HEADER).write_text(kernel_text(KERNEL_HEADER))
    (folder / files.HEADER).write_text(files.source_text(files.HEADER))
    (folder / "all.c").write_text(text)
    target = ("-target", "thumb-freestanding-eabi", "-mcpu=cortex_m0plus")
    command = (sys.executable, "-m", "ziglang", "cc", *target, "-std=c99", "-O2", "-c", "all.c", "-o", "all.o")
    subprocess.run(command, check=True, cwd=folder, timeout=120)
    return folder / "all.o"


def test_struct_sizes_are_those_of_the_core(tmp_path: Path) -> None:
    checks = [f"char check_{name}[sizeof({name}) == {size} ? 1 : -1];" for name, size in files.PARAMS_BYTES.items()]
    compiled(f'#include "{files.HEADER}"\n' + "\n".join(checks) + "\n", tmp_path)


def test_every_parameter_struct_has_its_size_told() -> None:
    header = files.source_text(files.HEADER)
    declared = {line.split()[1].rstrip(";") for line in header.splitlines() if line.startswith("} tf_")}
    assert set(files.PARAMS_BYTES) == {name for name in declared if name.endswith("_params")}


def sources() -> dict[str, KernelSource]:
    found = [files.expand_file(), *map(files.gemm_file, (False, True))]
    found += [files.dot_file(relu, tail) for relu, tail in product((False, True), (0, 3))]
    kernels = ((3, 3), (5, 5), (7, 7), (1, 3), (3, 1), (10, 10), (2, 9), (1, 32))
    for kernel, stride, dilation, out_w, relu in product(kernels, (1, 2, 7), (1, 3), (1, 5, 13, 48), (False, True)):
        row = DepthwiseRow(kernel, stride, dilation, out_w, relu)
        if supported(row):
            found.append(files.depthwise_file(row))
    return {source.file: source for source in found}


def test_sizes_of_routines_are_those_of_the_assembler(tmp_path: Path) -> None:
    made = sources()
    assert len(made) > 100
    elf = compiled("\n".join(source.text() for source in made.values()), tmp_path)
    with elf.open("rb") as file:
        symbols = ELFFile(file).get_section_by_name(".symtab").iter_symbols()
        sizes = {symbol.name: int(symbol["st_size"]) for symbol in symbols}
    told = {routine.name: code_bytes(routine) for source in made.values() for routine in source.routines()}
    assert told == {name: sizes[name] for name in told}
