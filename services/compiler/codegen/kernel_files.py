"""The kernel files that a program needs: names, texts and headers."""

from __future__ import annotations

from services.compiler.codegen.program import Program
from services.compiler.kernels import portable_set
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.kernels.thumb2 import files as thumb2


def kernel_headers(kernels: KernelSet) -> tuple[str, ...]:
    """Return the headers that a network's source includes."""
    return (portable_set.KERNEL_HEADER,) if kernels is KernelSet.PORTABLE else (thumb2.HEADER,)


def kernel_sources(program: Program, kernels: KernelSet) -> tuple[str, ...]:
    """Return the names of the C files, sorted."""
    return tuple(name for name in sorted(kernel_texts(program, kernels)) if name.endswith(".c"))


def kernel_texts(program: Program, kernels: KernelSet) -> dict[str, str]:
    """Return every kernel file and header by name."""
    special = [f for f in program.functions() if f in thumb2.NEEDS]
    portable = {f for f in program.functions() if f not in thumb2.NEEDS} | {n for f in special for n in thumb2.NEEDS[f]}
    names = (portable_set.KERNEL_HEADER, *portable_set.kernel_files(portable))
    texts = {name: portable_set.kernel_text(name) for name in names}
    if kernels is KernelSet.THUMB2:
        texts |= {name: thumb2.source_text(name) for name in (thumb2.HEADER, *(f"{f}.c" for f in special))}
        texts |= {source.file: source.text() for source in program.sources()}
    return texts
