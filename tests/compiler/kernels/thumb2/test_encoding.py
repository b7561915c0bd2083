"""The bytes of generated routines, told from their lines, are those that the assembler makes of them."""

from __future__ import annotations

import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from services.compiler.kernels.portable_set import KERNEL_HEADER, kernel_text
from services.compiler.kernels.source import KernelSource
from services.compiler.kernels.thumb2 import files
from services.compiler.kernels.thumb2.add import Scaling, Sum
from services.compiler.kernels.thumb2.depthwise import plane_width, supported
from services.compiler.kernels.thumb2.depthwise_shape import DepthwiseShape
from services.compiler.kernels.thumb2.encoding import code_bytes
from services.compiler.kernels.thumb2.gather import ColumnsShape, GatherShape
from services.compiler.kernels.thumb2.gemm import SMALL_STEPS
from services.compiler.kernels.thumb2.issue import Issue


def depthwise_sources() -> dict[str, KernelSource]:
    kernels = ((3, 3), (5, 5), (7, 7), (2, 2), (1, 3), (7, 2), (3, 10), (3, 1), (7, 1))
    found = {}
    cases = product(kernels, ((1, 1), (2, 2)), (1, 2, 5, 16), (1, 48, 300), (False, True))
    for kernel, stride, out_w, channels, relu in cases:
        width = plane_width(out_w, kernel[1], stride[1])
        bits = 4 if out_w == 2 else 8
        zero_point, small = -128 if relu else 5, channels == 48
        patch = out_w == 5
        gap = 20 * channels if patch else 0
        shape = DepthwiseShape(kernel, stride, out_w, channels, width, zero_point, relu, bits, small, gap=gap)
        whole = GatherShape(max(1, width - 3), channels, 1, width)
        if supported(shape):
            source = files.depthwise_file(shape, ColumnsShape(channels, 9 * channels, width) if patch else whole)[2]
            found[source.file] = source
    return found | dilated_sources()


def dilated_sources() -> dict[str, KernelSource]:
    found = {}
    for (kernel, dilation), out_w, small in product(
        (((3, 3), (2, 2)), ((3, 3), (1, 3)), ((5, 5), (2, 2)), ((1, 3), (1, 12))), (1, 6, 13), (False, True)
    ):
        width = plane_width(out_w, kernel[1], 1, out_w + 1, dilation[1])
        shape = DepthwiseShape(kernel, (1, 1), out_w, 40, width, -128, True, 8, small, dilation)
        source = files.depthwise_file(shape, GatherShape(out_w, 40, 1, width, dilation[1]))[2]
        found[source.file] = source
    return found


@pytest.mark.parametrize("issue", Issue)
def test_sizes_of_routines_are_those_of_the_assembler(issue: Issue, tmp_path: Path) -> None:
    sources = depthwise_sources()
    assert len(sources) > 200
    if issue is Issue.DUAL:  # the same generators: a part of them will do
        sources = dict(list(sources.items())[::20])
    for relu, tail, bits in product((False, True), range(4), (4, 8)):
        made = files.gemm_file(relu, tail, bits), files.gemm_file(relu, tail, bits, SMALL_STEPS)
        sources |= {s.file: s for s in (*made, files.dot_file(relu, tail, bits))}
    sums = (files.add_file(kind, shifted=shifted) for kind, shifted in product(Sum, (False, True)))
    beside = (files.add_constant_file(*kinds) for kinds in product((Sum.ADD, Sum.SUB), Scaling))
    fixed = (
        files.expand_file(),
        files.expand_pair_file(),
        files.dot_wide_file(False),
        files.dot_wide_file(True),
        *sums,
        *beside,
    )
    sources |= {source.file: source for source in fixed}
    (tmp_path / KERNEL_HEADER).write_text(kernel_text(KERNEL_HEADER))
    (tmp_path / files.HEADER).write_text(files.source_text(files.HEADER))
    (tmp_path / "all.c").write_text("\n".join(source.text(issue) for source in sources.values()))
    target = ("-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m4+vfp4d16sp")
    command = (sys.executable, "-m", "ziglang", "cc", *target, "-std=c99", "-O2", "-c", "all.c", "-o", "all.o")
    subprocess.run(command, check=True, cwd=tmp_path, timeout=120)
    with (tmp_path / "all.o").open("rb") as file:
        symbols = ELFFile(file).get_section_by_name(".symtab").iter_symbols()
        sizes = {symbol.name: int(symbol["st_size"]) for symbol in symbols}
    told = {routine.name: code_bytes(routine) for source in sources.values() for routine in source.routines(issue)}
    assert told == {name: sizes[name] for name in told}
