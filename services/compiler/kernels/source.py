"""A C file of assembly routines that are written when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from services.compiler.kernels.thumb2.assembly import Routine, c_file
from services.compiler.kernels.thumb2.issue import Issue
from services.compiler.kernels.thumb2.scheduling import scheduled


@dataclass(frozen=True, slots=True)
class KernelSource:
    """A file's name, the C declarations of what it defines, and its routines; the name tells all of it."""

    file: str
    declarations: tuple[str, ...]
    comment: str
    make: Callable[[Issue], tuple[Routine, ...]] = field(compare=False, repr=False)
    header: str = "tinyfarm_thumb2.h"

    def routines(self, issue: Issue = Issue.SINGLE) -> tuple[Routine, ...]:
        """Return the routines for a core that issues so many instructions a cycle."""
        made = made_routines(self, issue)
        return made if issue is Issue.SINGLE else tuple(scheduled(routine) for routine in made)

    def text(self, issue: Issue = Issue.SINGLE) -> str:
        """Return the file's text."""
        return c_file(self.comment, self.header, self.routines(issue))


@lru_cache(maxsize=256)  # estimates ask for the instructions of routines first, for their bytes in the end
def made_routines(source: KernelSource, issue: Issue) -> tuple[Routine, ...]:
    """Return a file's routines before they are put in order for the core."""
    return source.make(issue)
