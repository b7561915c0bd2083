"""Issue rules of the Cortex-M7 pipeline as measured on silicon: for counting cycles, and for ordering instructions.

Arm publishes no instruction timing for this core. Sources: measurements on an STM32H743 (github.com/jnk0le/random,
"pipeline cycle test") and on an STM32H730 (quinapalus.com/cm7cycles.html), and LLVM's ARMScheduleM7.td where both are
silent. Where they leave a choice, the slower reading is taken: all that is loaded comes a cycle late, as words do to
multipliers and bytes to everything; one operation a cycle shifts in any way; what is shifted, extended or an address
waits a cycle for any result but that of another address. Memory answers at once; not modelled are the stalls of loads
from unaligned addresses, of more than a few byte stores in a row, and of the instruction fetch.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

# Registers are numbered 0 to 15; above lie the flags and what else is waited for.
Registers = frozenset[int]
FLAGS = 16
_NONE: Registers = frozenset()
LOAD_LATENCY, PRODUCT_LATENCY = 2, 2


class Pipe(Enum):
    """What an instruction keeps busy."""

    ALU = auto()
    SHIFT = auto()  # alone or of a second operand
    DSP = auto()  # bit fields, extensions, saturation, parallel arithmetic: only in the older slot
    MULTIPLY = auto()
    LOAD = auto()
    STORE = auto()
    BRANCH = auto()
    FLOAT = auto()
    ALONE = auto()  # several registers to or from memory, divisions: nothing beside it


# of these one a cycle
_SHIFTERS = (Pipe.SHIFT, Pipe.DSP)


@dataclass(frozen=True, slots=True)
class Operation:
    """An instruction as the pipeline sees it.

    `early` are the registers read a stage before the ALUs (addresses, what is shifted or extended), `late` those read
    a stage after them (accumulators, what is stored); `latency` counts from issue to an ALU that uses what is
    written. `pointer` is an address that is written back. `address` is base register and displacement of one access.
    """

    pipe: Pipe
    reads: Registers = _NONE
    writes: Registers = _NONE
    early: Registers = _NONE
    late: Registers = _NONE
    pointer: Registers = _NONE
    latency: int = 1
    cycles: int = 1
    address: tuple[int, int] | None = None


class Scoreboard:
    """Issues operations in order, at most two a cycle; `cycle` is that of the newest one.

    With `relaxed` it knows the parts of the core and latencies only: whatever two operations need different parts
    issue together, and addresses are read as late as sums. Nothing ever issues later so than otherwise.
    """

    def __init__(self, *, relaxed: bool = False) -> None:
        self._relaxed = relaxed
        self.cycle = 0
        self._group: list[Operation] = []
        self._ready: dict[int, int] = {}

    def earliest(self, operation: Operation) -> int:
        """Return the cycle in which the operation would issue next."""
        at = max([self.cycle, *(self._needed(register, operation) for register in operation.reads)])
        return at if at > self.cycle or self._joins(operation) else self.cycle + 1

    def issue(self, operation: Operation) -> int:
        """Issue the operation and return its cycle."""
        at = self.earliest(operation)
        if at > self.cycle:
            self._group.clear()
        self._group.append(operation)
        self.cycle = at + operation.cycles - 1
        for register in operation.writes:
            self._ready[register] = self.cycle + operation.latency
        for register in operation.pointer:  # from the address adder
            self._ready[register] = at
        return at

    def end_group(self) -> None:
        """Let nothing join what has been issued: a branch was taken."""
        self.cycle += 1
        self._group.clear()

    def _needed(self, register: int, operation: Operation) -> int:
        early, late = register in operation.early and not self._relaxed, register in operation.late
        return self._ready.get(register, 0) + early - late

    def _joins(self, operation: Operation) -> bool:
        if not self._group:
            return True
        pairs = _share if self._relaxed else _pairs
        return len(self._group) == 1 and pairs(self._group[0], operation)


def _pairs(older: Operation, younger: Operation) -> bool:
    """Whether two operations, the second not waiting for the first, issue in one cycle."""
    pipes = {older.pipe, younger.pipe}
    if Pipe.ALONE in pipes or younger.pipe is Pipe.DSP or not _share(older, younger):
        return False
    if pipes == {Pipe.LOAD}:
        return _in_two_banks(older, younger)
    return pipes != {Pipe.MULTIPLY, Pipe.STORE}


def _share(older: Operation, younger: Operation) -> bool:
    """Whether two operations neither need the same part of the core nor the second what the first has yet to do."""
    if (older.writes | older.pointer) & (younger.reads - younger.late) or older.writes & younger.writes - {FLAGS}:
        return False
    if older.pipe in _SHIFTERS and younger.pipe in _SHIFTERS:
        return False
    return older.pipe is not younger.pipe or older.pipe in (Pipe.ALU, Pipe.LOAD)


def _in_two_banks(older: Operation, younger: Operation) -> bool:
    """Whether two loads are known to meet an even and an odd word of memory."""
    if older.address is None or younger.address is None or older.address[0] != younger.address[0]:
        return False
    return (older.address[1] - younger.address[1]) % 8 == 4


def is_shifted_constant(mnemonic: str, constant: int) -> bool:
    """Whether a constant is made by shifting eight bits: neither small (12 bits in sums) nor a pattern of bytes."""
    value = constant & 0xFFFFFFFF
    low, high = value & 0xFF, value >> 8 & 0xFF
    plain = 0xFFF if mnemonic.startswith(("add", "sub")) else 0xFFFF if mnemonic.startswith("mov") else 0xFF
    return value > plain and value not in (low * 0x01010101, low * 0x00010001, high * 0x01000100)
