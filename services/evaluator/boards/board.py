"""A board as the evaluator sees it, whatever its kind."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from services.evaluator.boards.profile import Profile
from services.evaluator.image import Image
from services.evaluator.protocol import PulledInput, Session


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes for the arena."""

    offset_bytes: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the arena."""

    offset_bytes: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Run:
    """One invoke: outputs as bytes, the board's own counter, the stack's high water, and a simulator's profile."""

    outputs: tuple[bytes, ...]
    counter: int
    stack_bytes: int
    profile: Profile | None


class Board(Protocol):
    """A board that can be flashed with an image and run it; a ProgramFault leaves it usable after `reset`."""

    def flash(self, image: Image) -> None:
        """Put the image into the board and start it; BoardError where it does not come up."""
        ...

    def run(
        self,
        writes: tuple[Write, ...],
        reads: tuple[Region, ...],
        budget_instructions: int,
        pulled: PulledInput | None = None,
    ) -> Run:
        """Write inputs, invoke once, read outputs; EndlessLoopFault when the budget is used up.

        A `pulled` input is not written but handed out by rows while the model runs.
        """
        ...

    def reset(self) -> None:
        """Start the flashed image again, also after a fault; BoardError where none was flashed."""
        ...

    def close(self) -> None:
        """Let the board go."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def exchange(
    session: Session, writes: tuple[Write, ...], reads: tuple[Region, ...], pulled: PulledInput | None = None
) -> tuple[tuple[bytes, ...], int, int]:
    """Write, invoke, read over a session; return outputs, counter and stack bytes."""
    for write in writes:
        session.write(write.offset_bytes, write.data)
    invoked = session.invoke(pulled)
    outputs = tuple(session.read(read.offset_bytes, read.size_bytes) for read in reads)
    return outputs, invoked.counter, invoked.stack_bytes
