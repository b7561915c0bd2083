"""The tile of a depthwise routine: a few neighboring outputs of a row, their sums, requantization and stores."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from services.compiler.kernels.thumb2.depthwise_shape import (
    RESIDENT,
    SLOT_ADDEND,
    SLOT_BIAS,
    SLOT_MULTIPLIER,
    DepthwiseShape,
    Pair,
)
from services.compiler.kernels.thumb2.requantize import Requantize, interleave, offset

_POOL = ("r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r12", "lr")
_MAX_POST_INDEX = 255
# the label of a small routine's loop over the filter's rows
FILTER_ROWS = "4"

Term = tuple[int, int, tuple[int, ...]]  # output, column, taps


@dataclass(frozen=True, slots=True)
class Tile:
    """A few neighboring outputs computed at once, and the registers for them."""

    shape: DepthwiseShape
    outputs: int
    data: tuple[str, ...]
    sums: tuple[str, ...]
    filters: tuple[str, ...]

    def lines(self, label: str = FILTER_ROWS) -> tuple[str, ...]:
        """Return the tile's code: sums, step to the next tile, requantization and stores."""
        shape = self.shape
        code = self._rolled(label) if shape.rolled else self._unrolled()
        pool = [r for r in _POOL if r not in self.sums and not (shape.resident and r in RESIDENT)]
        multiplier, shift, addend = pool[:3]
        code.append(f"ldrd {multiplier}, {shift}, [sp, #{SLOT_MULTIPLIER}]")
        if shape.relu:
            code.append(f"ldr {addend}, [sp, #{SLOT_ADDEND}]")
        code += self._requantize(multiplier, shift, addend)
        code += [line for register in self.sums for line in _store(register, shape.out_step)]
        return tuple(code)

    def _unrolled(self) -> list[str]:
        code = [line for row in range(self.shape.kernel_hw[0]) for line in self._row(row)]
        return [*code, f"add r10, r10, #{2 * self.outputs * self.shape.stride_hw[1]}"]

    def _rolled(self, label: str) -> list[str]:
        """Return a loop over the filter's rows, whose pairs lie at lr."""
        shape, row_pairs = self.shape, len(self.shape.pairs)
        back = shape.kernel_hw[0] * shape.tap_row_bytes - 2 * self.outputs * shape.stride_hw[1]
        return [
            f"ldr {self.sums[0]}, [sp, #{SLOT_BIAS}]",
            *(f"mov {other}, {self.sums[0]}" for other in self.sums[1:]),
            f"add lr, sp, #{shape.pairs_at}",
            f"{label}:",
            *_load_words(self.data, "r10", 0),
            *self._products(0, True, "lr", 0),
            f"add r10, r10, #{shape.tap_row_bytes}",
            f"add lr, lr, #{4 * row_pairs}",
            f"add {self.data[0]}, sp, #{shape.pairs_at + 4 * shape.kernel_hw[0] * row_pairs}",
            f"cmp lr, {self.data[0]}",
            f"bne {label}b",
            f"sub r10, r10, #{back}",
        ]

    def _requantize(self, multiplier: str, shift: str, addend: str) -> tuple[str, ...]:
        """Return the requantization; with a ReLU half and zero point, shifted for the channel, ride on SMMLAR.

        A multiplier of 0.5 or more has neither a shift nor a half: then one shift does all, and may be by 0.
        """
        if self.shape.relu:
            steps = (
                f"smmlar {{0}}, {{0}}, {multiplier}, {addend}",
                f"asr {{0}}, {{0}}, {shift}",
                "ssat {0}, #8, {0}" if self.shape.no_right_shift else "ssat {0}, #8, {0}, asr #1",
            )
            return interleave(steps, self.sums)
        return Requantize(relu=False).lines(self.sums, multiplier, shift, f"#{offset(self.shape.zero_point)}")

    def _row(self, row: int) -> list[str]:
        code = _load_words(self.data, "r10", row * self.shape.tap_row_bytes)
        if row == 0:  # the last sum starts as the bias, which the others take from it first
            code.append(f"ldr {self.sums[-1]}, [sp, #{SLOT_BIAS}]")
        return code + self._products(row, row > 0, "sp", self.shape.pairs_at + 4 * row * len(self.shape.pairs))

    def _products(self, row: int, started: bool, base: str, offset: int) -> list[str]:
        """Return the products of a filter row, whose pairs lie so far behind a base unless they stay in registers."""
        code: list[str] = []
        shape, count = self.shape, len(self.shape.pairs)
        filters = RESIDENT[row * count : (row + 1) * count] if shape.resident else self.filters
        row_of = FilterRow(shape.kernel_hw[1], shape.stride_hw[1], shape.pairs, self.data, self.sums, filters)
        for first, multiplied in zip(range(0, count, len(filters)), row_of.products(started), strict=True):
            if not shape.resident:
                code += _load_words(filters[: count - first], base, offset + 4 * first)
            code += multiplied
        return code


class FilterRow(NamedTuple):
    """A row of the filter and the registers for its values, for outputs and their data: what products are made of."""

    width: int
    stride: int
    pairs: tuple[Pair, ...]
    data: tuple[str, ...]
    sums: tuple[str, ...]
    filters: tuple[str, ...]

    def products(self, started: bool) -> tuple[tuple[str, ...], ...]:
        """Return the products, as many pairs at a time as there are registers; sums that are new start as the last."""
        return _products(self, started)

    def terms(self) -> list[Term]:
        """Return the products of one row, in the order of the outputs."""
        terms: list[Term] = []
        for output in range(len(self.sums)):
            tap = 0
            while tap < self.width:
                column = output * self.stride + tap
                two = column % 2 == 0 and (tap, tap + 1) in self.pairs
                terms.append((output, column, (tap, tap + 1) if two else (tap,)))
                tap += 2 if two else 1
        return terms

    def multiply(self, term: Term, registers: dict[Pair, str], started: set[int]) -> str:
        """Return the instruction of one term, with a pair that is in a register."""
        output, column, taps = term
        target = self.sums[output]
        source = target if output in started else self.sums[-1]
        started.add(output)
        pair = next(p for p in registers if _covers(p, taps))
        word, weights = self.data[column // 2], registers[pair]
        if len(taps) == 2:
            return f"smlad {target}, {word}, {weights}, {source}"
        half, lane = "bt"[column % 2], "bt"[pair[1] == taps[0]]
        return f"smla{half}{lane} {target}, {word}, {weights}, {source}"


@lru_cache(maxsize=1024)  # few, whatever the shapes of the images
def _products(row: FilterRow, started: bool) -> tuple[tuple[str, ...], ...]:
    code, terms, pairs = [], row.terms(), row.pairs
    begun = set(range(len(row.sums))) if started else set[int]()
    for first in range(0, len(pairs), len(row.filters)):
        registers = dict(zip(pairs[first:], row.filters, strict=False))
        now = [t for t in terms if any(_covers(pair, t[2]) for pair in registers)]
        code.append(tuple(row.multiply(term, registers, begun) for term in now))
        terms = [t for t in terms if t not in now]
    return tuple(code)


def _covers(pair: Pair, taps: tuple[int, ...]) -> bool:
    return pair == taps if len(taps) == 2 else taps[0] in pair


def make_tile(shape: DepthwiseShape, outputs: int) -> Tile | None:
    """Return a tile of so many outputs, or None where the registers do not suffice."""
    free = [r for r in _POOL if not (shape.resident and r in RESIDENT) and not (shape.rolled and r == "lr")]
    words = ((outputs - 1) * shape.stride_hw[1] + shape.kernel_hw[1] + 1) // 2
    spare = len(free) - words - outputs
    needed = 0 if shape.resident else 1
    if spare < needed or len(free) - outputs < 3:
        return None
    chunk = len(shape.pairs) if shape.resident else min(spare, len(shape.pairs))
    if 1 < chunk < len(shape.pairs):
        chunk -= chunk % 2  # loads in pairs
    rest = free[words + outputs :]
    filters = RESIDENT[:chunk] if shape.resident else tuple(rest[:chunk])
    return Tile(shape, outputs, tuple(free[:words]), tuple(free[words : words + outputs]), filters)


def _load_words(registers: tuple[str, ...], base: str, offset: int) -> list[str]:
    """Return loads of consecutive words, two at a time."""
    code = []
    for first in range(0, len(registers), 2):
        two = registers[first : first + 2]
        code.append(f"{'ldrd' if len(two) == 2 else 'ldr'} {', '.join(two)}, [{base}, #{offset + 4 * first}]")
    return code


def _store(register: str, step: int) -> tuple[str, ...]:
    if step <= _MAX_POST_INDEX:
        return (f"strb {register}, [r11], #{step}",)
    return f"strb {register}, [r11]", f"add r11, r11, #{step}"
