"""The padded copy of one channel that depthwise convolutions work on: some output rows at a time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChunkedPlane:
    """Rows of `width` values of `value_bytes`; `reach` rows for the first output row, `stride_h` for every other.

    A plane that does not hold all rows is cut in chunks, each of which costs some instructions a channel. What is
    always given is what fits `least_bytes`, at least a row; it grows where the arena has room (memory/scratch.py).
    `spare` values lie behind the last row, for routines that load beyond it.
    """

    width: int
    reach: int
    stride_h: int
    out_h: int
    value_bytes: int
    least_bytes: int
    spare: int = 0

    def sizes(self) -> tuple[int, ...]:
        """Return the useful scratch sizes: from the least, every one that saves a chunk, up to a whole plane."""
        least = next((n for n in range(self.out_h, 1, -1) if self._bytes(n) <= self.least_bytes), 1)
        rows = {-(-self.out_h // -(-self.out_h // n)) for n in range(least, self.out_h + 1)}
        return tuple(self._bytes(n) for n in sorted(rows))

    def chunk_rows(self, scratch_bytes: int) -> int:
        """Return the output rows at a time that a plane of so many bytes has room for."""
        held = (scratch_bytes // self.value_bytes - self.spare) // self.width
        return min(self.out_h, (held - self.reach) // self.stride_h + 1)

    def _bytes(self, rows: int) -> int:
        return self.value_bytes * (((rows - 1) * self.stride_h + self.reach) * self.width + self.spare)
