"""The schedule: the one value that code generation, memory planning and cost estimates consume."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from services.compiler.ir.tensor import TensorId

BufferId = int

# Buffers and steps are tuples: every plan makes hundreds, and a data class takes twice the time.


@dataclass(frozen=True, slots=True)
class Region:
    """Half-open output rows and columns that a step computes, in the output tensor's own coordinates."""

    row_start: int
    row_stop: int
    col_start: int
    col_stop: int

    def __post_init__(self) -> None:
        if not (0 <= self.row_start < self.row_stop and 0 <= self.col_start < self.col_stop):
            raise ValueError(f"region {self} is empty or negative")

    @property
    def pixels(self) -> int:
        """Rows times columns."""
        return (self.row_stop - self.row_start) * (self.col_stop - self.col_start)


class BufferKind(Enum):
    """What a buffer holds, as the memory report splits it."""

    INPUT = "input"
    ACTIVATION = "activation"
    LINE_BUFFER = "line_buffer"
    SCRATCH = "scratch"

    __hash__ = object.__hash__  # members are single objects; that of Enum is slow


class Buffer(NamedTuple):
    """A run of arena bytes. A tensor's buffer holds all of it, or a ring of the last `rows` of its rows, or, where
    `columns` is given too, a patch of at most so many rows and columns.

    Reshaped tensors share one buffer, so `tensors` may name several. Scratch names none.
    """

    id: BufferId
    name: str
    kind: BufferKind
    size_bytes: int
    tensors: tuple[TensorId, ...] = ()
    rows: int | None = None
    columns: int | None = None


class Step(NamedTuple):
    """Operator `op_index` of the graph: at once, or in turns of at most `extent` output rows and columns."""

    op_index: int
    reads: tuple[BufferId, ...]
    writes: tuple[BufferId, ...]
    scratch: BufferId | None = None
    extent: tuple[int, int] | None = None

    @property
    def buffers(self) -> tuple[BufferId, ...]:
        """All buffers that the step uses; scratch comes last."""
        used = (*self.reads, *self.writes)
        return used if self.scratch is None else (*used, self.scratch)


class StageKind(Enum):
    """How the steps of a stage were laid out."""

    PER_LAYER = "per-layer"
    PATCH = "patch"
    STREAMING = "streaming"

    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True)
class Turn:
    """Step number `step` of a stage computes a region of its output."""

    step: int
    region: Region


@dataclass(frozen=True, slots=True)
class Life:
    """A buffer of a stage holds what is still needed only beside the steps `first` to `last` of the stage."""

    buffer: BufferId
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Chase:
    """A stage writes `target` while it uses `source` up: at worst `behind_bytes` more are written than are free."""

    source: BufferId
    target: BufferId
    behind_bytes: int


@dataclass(frozen=True, slots=True)
class Stage:
    """A run of steps of one kind: one after the other, or in turns, each a part of its output.

    With turns, every buffer lives through the whole stage unless `lives` names it. `grid` are the rows and columns of
    patches.
    """

    kind: StageKind
    steps: tuple[Step, ...]
    turns: tuple[Turn, ...] = ()
    lives: tuple[Life, ...] = ()
    chases: tuple[Chase, ...] = ()
    grid: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """Every step in order, once, with the buffers they use; offsets are the memory planner's.

    `outputs` are the buffers of the network's outputs: they live to the end.
    """

    name: str
    buffers: tuple[Buffer, ...]
    stages: tuple[Stage, ...]
    outputs: tuple[BufferId, ...]

    def __post_init__(self) -> None:
        known = {b.id for b in self.buffers}
        if unknown := set(self.outputs) - known:
            raise ValueError(f"schedule {self.name!r} outputs unknown buffers {sorted(unknown)}")
        for step in self.steps():
            if not known.issuperset(step.buffers):
                unknown = set(step.buffers) - known
                raise ValueError(f"step of operator {step.op_index} uses unknown buffers {sorted(unknown)}")

    @property
    def kinds(self) -> tuple[StageKind, ...]:
        """The kinds of stages, without repetition."""
        return tuple(dict.fromkeys(stage.kind for stage in self.stages))

    def steps(self) -> Iterator[Step]:
        """Yield the steps of every stage in order."""
        for stage in self.stages:
            yield from stage.steps
