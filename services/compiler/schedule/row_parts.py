"""The parts of streamed stages: operators between tensors that alone connect what is before and what is after.

A part knows of what follows only how far its output is asked for, step by step, and asks what precedes it in the same
way. So what is found of a part holds in every stage where its windows and these steps are the same, and in a search
that is often so. row_turns.py finds the same facts of a stage as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from services.compiler.schedule.row_run import RowOp, RowRun
from services.compiler.schedule.row_turns import whole_steps

_REMEMBERED = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """How far an output is asked for, step by step; equal ones are one object."""

    stops: tuple[int, ...]


demand = lru_cache(maxsize=_REMEMBERED)(Demand)


@dataclass(frozen=True, slots=True)
class Held:
    """The most rows of a tensor that are held, beside the operators from `first` to `last` of the part; also beside
    all operators before the part, and all after it.
    """

    tensor: int
    rows: int
    first: int
    last: int
    before: bool
    after: bool


@dataclass(frozen=True, slots=True)
class Writing:
    """By turns of its maker: the rows of a whole tensor that are written, how many steps were asked of what precedes
    the part, and the first row that is still needed of tensors from outside of the stage.
    """

    tensor: int
    rows: tuple[int, ...]
    asked: tuple[int, ...]
    oldest: Mapping[int, tuple[int, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class PartRows:
    """What is found of a part.

    `asks` is its demand on what precedes it; when it has answered so many steps, `asked` tells how many steps it has
    asked for itself and `oldest` the first row that it still needs of tensors from outside of the stage.
    """

    rings: tuple[Held, ...]
    asks: Demand
    asked: tuple[int, ...]
    oldest: Mapping[int, tuple[int, ...]]
    written: tuple[Writing, ...]


@lru_cache(maxsize=_REMEMBERED)
def inner_part(ops: tuple[RowOp, ...], wanted: Demand, rows: int, fed: bool) -> PartRows:
    """Return the facts of a part of which the last operator's output is asked for; `fed` if it is not a stage's first.

    Tensors are numbered from the part's first output on.
    """
    last = len(ops) - 1
    return _found(RowRun.of(ops, (), rows, fed=fed), (((last, stop),) for stop in wanted.stops))


@lru_cache(maxsize=_REMEMBERED)
def last_part(ops: tuple[RowOp, ...], whole: tuple[int, ...], rows: int, fed: bool) -> PartRows:
    """Return the facts of the part with which a stage ends, where `whole` tensors are written."""
    return _found(RowRun.of(ops, whole, rows, fed=fed), whole_steps(ops, whole, rows))


def _found(run: RowRun, steps: Iterable[tuple[tuple[int, int], ...]]) -> PartRows:
    asked, oldest = [0], {t: [run.oldest[t]] for t in run.outside}
    for step in steps:
        for op, stop in step:
            run.make(op, stop)
        asked.append(len(run.asks))
        for t, rows in oldest.items():
            rows.append(run.oldest[t])
        if not run.written:
            run.after |= run.kept
    return PartRows(
        tuple(Held(t, rows, *run.life(t), t in run.before, t in run.after) for t, rows in run.rings.items()),
        demand(tuple(run.asks)),
        tuple(asked),
        {t: tuple(rows) for t, rows in oldest.items()},
        tuple(
            Writing(t, tuple(w.rows), tuple(w.asked), {s: tuple(rows) for s, rows in w.oldest.items()})
            for t, w in run.written.items()
        ),
    )
