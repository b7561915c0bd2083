"""The kernel files that a program needs: names, texts and headers."""

from __future__ import annotations

from services.compiler.codegen.program import Program
from services.compiler.kernels import portable_set
from services.compiler.kernels.core_files import core_files
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.kernels.thumb2.issue import Issue


def kernel_headers(kernels: KernelSet) -> tuple[str, ...]:
    """Return the headers that a network's source includes."""
    own = core_files(kernels)
    return (portable_set.KERNEL_HEADER,) if own is None else (own.header,)


def kernel_sources(program: Program, kernels: KernelSet) -> tuple[str, ...]:
    """Return the names of the C files, sorted."""
    return tuple(name for name in sorted(kernel_texts(program, kernels)) if name.endswith(".c"))


def kernel_texts(program: Program, kernels: KernelSet, issue: Issue = Issue.SINGLE) -> dict[str, str]:
    """Return every kernel file and header by name."""
    own = core_files(kernels)
    needs = {} if own is None else own.needs
    special = [f for f in program.functions() if f in needs]
    portable = {f for f in program.functions() if f not in needs} | {n for f in special for n in needs[f]}
    names = (portable_set.KERNEL_HEADER, *portable_set.kernel_files(portable))
    texts = {name: portable_set.kernel_text(name) for name in names}
    if own is not None:
        texts |= {name: own.source_text(name) for name in (own.header, *(f"{f}.c" for f in special))}
        texts |= {source.file: source.text(issue) for source in program.sources()}
    return texts
