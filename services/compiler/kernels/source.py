"""A C file of kernels that is written when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class KernelSource:
    """A file's name, the C declarations of what it defines, and its text; the name tells all of it."""

    file: str
    declarations: tuple[str, ...]
    text: Callable[[], str] = field(compare=False, repr=False)
