"""What a depthwise routine is made for, and what follows from it: registers, stack, and steps through the plane."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

# registers of a filter that stays in them, and for the values of one filter row while they are paired beside it
RESIDENT = ("r4", "r5", "r6", "r7", "r8", "r9")
TAPS_BESIDE = ("r0", "r1", "r3", "r12", "lr")
# bytes that LDRD reaches
MAX_LOAD_OFFSET = 1020
# the stack frame before the filter's pairs; behind the multiplier lies the shift
SLOT_MULTIPLIER, SLOT_ADDEND, SLOT_BIAS, SLOT_ROWS, SLOT_ROW_END = 0, 8, 12, 16, 20
# and with phases the next one's first output and the phases left
SLOT_NEXT_OUT, SLOT_PHASES = 24, 28

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class DepthwiseShape:
    """What a routine is made for: filter and stride, output width, output channels (the step in bytes), plane width.

    `no_right_shift`: some channel shifts by nothing or to the left, which takes a ReLU. `gap`: bytes from the end of
    an output row to the next one.
    """

    kernel_hw: tuple[int, int]
    stride_hw: tuple[int, int]
    out_w: int
    channels: int
    plane_w: int
    zero_point: int
    relu: bool
    weight_bits: int = 8
    small: bool = False
    dilation_hw: tuple[int, int] = (1, 1)
    no_right_shift: bool = False
    gap: int = 0

    @property
    def phases(self) -> int:
        """Columns from one tap to the next, and so phases of a row of the plane."""
        return self.dilation_hw[1]

    @property
    def runs(self) -> tuple[tuple[int, int], ...]:
        """How many phases have how many outputs a row; the first ones may have one more than the others."""
        width, longer = divmod(self.out_w, self.phases)
        found = (longer, width + 1), (self.phases - longer, width)
        return tuple((phases, outputs) for phases, outputs in found if phases and outputs)

    @property
    def out_step(self) -> int:
        """Bytes from one output of a phase to the next."""
        return self.phases * self.channels

    @property
    def tap_row_bytes(self) -> int:
        """Bytes of the plane from one row of the filter to the next."""
        return self.dilation_hw[0] * self.row_bytes

    @property
    def next_row_bytes(self) -> int:
        """Bytes of the plane from behind a row's last outputs to the next row's windows."""
        phase_bytes = self.row_bytes // self.phases
        done = sum(phases for phases, _ in self.runs) * phase_bytes
        return self.stride_hw[0] * self.row_bytes - (done if self.phases > 1 else 2 * self.out_w * self.stride_hw[1])

    @property
    def pairs_at(self) -> int:
        """Where the filter's pairs lie on the stack."""
        return SLOT_PHASES + 4 if self.phases > 1 else SLOT_NEXT_OUT

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of the plane."""
        return 2 * self.plane_w

    @property
    def in_reach(self) -> bool:
        """Whether loads from one base register reach every row of the filter."""
        return (self.kernel_hw[0] - 1) * self.tap_row_bytes + 4 * self.kernel_hw[1] <= MAX_LOAD_OFFSET

    @property
    def resident(self) -> bool:
        """Whether the whole filter stays in registers."""
        fits = len(self.pairs) * self.kernel_hw[0] <= len(RESIDENT) and self.kernel_hw[1] <= len(TAPS_BESIDE)
        return fits and self.in_reach

    @property
    def rolled(self) -> bool:
        """Whether the filter's rows are a loop: less code, or rows too long for one base register."""
        return (self.small or not self.in_reach) and not self.resident and self.kernel_hw[0] > 1

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Taps of a filter row that share a register; a filter one column wide has its tap in both halves."""
        return _pairs(self.kernel_hw[1], every=self.stride_hw[1] % 2 != 0)


@cache
def _pairs(width: int, *, every: bool) -> tuple[Pair, ...]:
    """Return every two neighbors of so many taps, or those apart and the last two."""
    if width == 1:
        return ((0, 0),)
    if every:
        return tuple((tap, tap + 1) for tap in range(width - 1))
    return tuple(dict.fromkeys([*((tap, tap + 1) for tap in range(0, width - 1, 2)), (width - 2, width - 1)]))
