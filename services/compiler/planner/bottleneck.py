"""The least memory of a cut: pieces follow one another, so the arena is that of the neediest one.

The best path from an operator to the end, where needs are bounds until they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from services.compiler.schedule.row_bounds import Ints

NEVER = 1 << 50


class Bottleneck:
    """Paths from any operator to the end over pieces [start, stop); `bounds` are by start and stop, NEVER for none.

    `ask` tells the need of a piece whose bound is on the best path.
    """

    def __init__(self, bounds: Ints, ask: Callable[[int, int], int]) -> None:
        self._needs, self._ask = bounds.copy(), ask
        self._known = bounds == NEVER
        self._end = len(bounds) - 1
        self._least = np.zeros(self._end + 1, dtype=np.int64)  # by first operator
        self._next = [0] * self._end  # where the first piece of its path stops
        self._changed = set(range(self._end))  # operators from which a piece has another need

    def set_need(self, start: int, stop: int, need_bytes: int) -> None:
        """Note the need of a piece."""
        self._needs[start, stop] = need_bytes
        self._known[start, stop] = True
        self._changed.add(start)

    def least(self, first: int) -> int:
        """Return the need of the neediest piece on the best path from an operator on."""
        while True:
            self._refresh()
            asked = [piece for piece in self._path(first) if not self._known[piece]]
            for start, stop in asked:
                self._known[start, stop] = True
                need = self._ask(start, stop)
                if need > self._needs[start, stop]:
                    self.set_need(start, stop, need)
            if not self._changed:
                return int(self._least[first])

    def _refresh(self) -> None:
        """Find the best paths again from where needs have changed, and where they lead over such as have."""
        moved = False
        for start in range(max(self._changed, default=-1), -1, -1):
            if moved or start in self._changed:
                needs = np.maximum(self._needs[start, start + 1 :], self._least[start + 1 :])
                best = int(needs.argmin())
                moved = moved or bool(needs[best] != self._least[start])
                self._least[start], self._next[start] = needs[best], start + 1 + best
        self._changed.clear()

    def _path(self, first: int) -> Iterator[tuple[int, int]]:
        while first != self._end:
            yield first, (stop := self._next[first])
            first = stop
