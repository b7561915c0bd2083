"""The files of a kernel set beside the portable kernels: what is written by hand, and how large its structs are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.kernels.thumb1 import files as thumb1
from services.compiler.kernels.thumb2 import files as thumb2


@dataclass(frozen=True, slots=True)
class CoreFiles:
    """The set's header, its functions with the portable files they call, its parameter structs' bytes, its texts."""

    header: str
    needs: Mapping[str, tuple[str, ...]]
    params_bytes: Mapping[str, int]
    source_text: Callable[[str], str]


def core_files(kernels: KernelSet) -> CoreFiles | None:
    """Return the files of a set of a core's own kernels; None for the portable ones."""
    match kernels:
        case KernelSet.PORTABLE:
            return None
        case KernelSet.THUMB2 | KernelSet.THUMB2_SMALL:
            return CoreFiles(thumb2.HEADER, thumb2.NEEDS, thumb2.PARAMS_BYTES, thumb2.source_text)
        case KernelSet.THUMB1:
            return CoreFiles(thumb1.HEADER, thumb1.NEEDS, thumb1.PARAMS_BYTES, thumb1.source_text)
        case _:
            assert_never(kernels)
