"""What streamed stages hold at least, of all stages of a network at once: two moments in the middle of each.

Between them the last operator makes a row. What the others have made by then follows from windows alone, so what a
tensor's ring holds at either moment, and which rings are in use throughout, is known without a simulation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from services.compiler.schedule.rows import Window

Ints: TypeAlias = npt.NDArray[np.int64]
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class LinkedOp:
    """An operator as rows see it: `height` of its outputs; the tensors that it reads, and how; those that it makes, and
    by which operator each is read last, None where it is held whole in any stage. Tensors are numbers, below 0 for
    those that no operator makes.
    """

    height: int
    reads: tuple[tuple[int, Window], ...]
    makes: tuple[tuple[int, int | None], ...]


@dataclass(frozen=True, slots=True)
class LeastHeld:
    """A ring at least: `rows` of an operator's output beside the operators up to the last that reads it, and where it
    `stays` beside all of the stage that take turns. Both by the last operator of the stage.
    """

    output: int
    last: int
    rows: Ints
    stays: Ints


class RowBounds:
    """The rings of every stage whose operators make a row at a turn, at least."""

    def __init__(self, ops: Sequence[LinkedOp | None]) -> None:
        self._heights = np.array([1 if op is None else op.height for op in ops], dtype=np.int64)
        self._count = len(ops)
        # by tensor, before and after the last row and by the last operator of a stage: rows that are asked for
        self._asked: dict[int, Ints] = {}
        self._oldest: dict[int, Ints] = {}  # the first that is still needed after it
        self._window: dict[int, Ints] = {}  # the most rows between the ends of a reader's last window
        self.rings: list[list[LeastHeld]] = [[] for _ in ops]
        self.active = np.zeros((self._count, self._count), dtype=bool)  # by operator: whether it takes turns between
        for number in range(self._count - 1, -1, -1):
            op = ops[number]
            if op is not None:
                self._add(number, op)

    def _add(self, number: int, op: LinkedOp) -> None:
        done = self._done(number, op)
        self.active[number] = done[1] > done[0]
        for output, (tensor, last) in enumerate(op.makes):
            if last is not None and last > number and tensor in self._oldest:
                oldest = self._oldest[tensor]
                rows = np.maximum(self._window[tensor], done[1] - oldest)
                self.rings[number].append(LeastHeld(output, last, np.maximum(rows, 1), oldest < done[0]))
        made, before = done[1], np.maximum(done[1] - 1, 0)
        for tensor, slid in op.reads:
            if tensor < 0:
                continue
            stop = _stop(slid, done)
            _keep(self._asked, tensor, stop, np.maximum)
            _keep(self._window, tensor, stop[1] - _start(slid, before), np.maximum)
            oldest = np.where(made < op.height, _start(slid, made), slid.size)
            oldest[:number] = _NEVER
            _keep(self._oldest, tensor, oldest, np.minimum)

    def _done(self, number: int, op: LinkedOp) -> Ints:
        """Return the rows that an operator has made, before and after the last row, in every stage that it is in."""
        row = self._heights // 2 + np.arange(2)[:, None]
        own: Ints = np.minimum(op.height, -(-row * op.height // self._heights))
        whole = max((self._count if last is None or last <= number else last) for _, last in op.makes)
        own[:, whole:] = 0  # there all that it makes is read inside
        own[:, :number] = 0
        for tensor, _ in op.makes:
            if tensor in self._asked:
                own = np.maximum(own, self._asked[tensor])
        own[:, :number] = 0
        return own


def _keep(found: dict[int, Ints], tensor: int, value: Ints, chosen: np.ufunc) -> None:
    found[tensor] = chosen(found[tensor], value) if tensor in found else value


def _stop(slid: Window, done: Ints) -> Ints:
    """Return the row after the last that is needed for so many."""
    if slid.whole:
        return np.where(done > 0, slid.size, 0)
    stop = (done - 1) * slid.stride + (slid.offset + slid.extent)
    return np.where(done > 0, np.clip(stop, 0, slid.size), 0)


def _start(slid: Window, row: Ints) -> Ints:
    """Return the first row that is needed for one."""
    return np.zeros_like(row) if slid.whole else np.clip(row * slid.stride + slid.offset, 0, slid.size)
