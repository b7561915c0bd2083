"""Instructions of a routine put in the order in which a dual-issue core runs them fastest.

List scheduling (Gibbons and Muchnick, 1986) of basic blocks on the Cortex-M7's scoreboard: of the instructions whose
predecessors are all placed, the one that can issue first is next. An instruction stays behind those that write what it
reads or writes, before those that write what it reads, and accesses to memory that may meet keep their order.
Registers loaded or stored in pairs and lists, which issue alone on that core, are first split. Blocks end at labels,
directives and jumps, so that every place that is jumped to keeps all of what ran before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from services.common.cortex_m7 import Operation, Pipe, Scoreboard
from services.compiler.kernels.thumb2.assembly import Routine
from services.compiler.kernels.thumb2.instructions import (
    SP,
    Access,
    Instruction,
    operands_of,
    parse,
    register_list,
)

_REMEMBERED = 1024
# turns of a block after which its cycles are those of a loop
_TURNS = 4


@lru_cache(maxsize=_REMEMBERED)
def scheduled(routine: Routine) -> Routine:
    """Return the routine with its instructions in a faster order."""
    lines: list[str] = []
    for code, block in blocks_of(separated(routine).body):
        instructions = _fastest([parse(line) for line in block], routine.disjoint) if code else ()
        lines += [instruction.line for instruction in instructions] or block
    return replace(routine, body=tuple(lines))


def separated(routine: Routine) -> Routine:
    """Return the routine with a load or store for every register: of the same size as when it is scheduled."""
    return replace(routine, body=tuple(one for line in routine.body for one in split(line)))


def split(line: str) -> tuple[str, ...]:
    """Return loads and stores of single registers for one of several, the line itself for all others."""
    name, operands = operands_of(line)
    if name in ("ldrd", "strd"):
        first, second, address = operands[:3]
        return _transfers(name[:3], (first, second), address, int(operands[3][1:]) if len(operands) > 3 else 0)
    if name in ("ldm", "stm"):
        registers = register_list(operands[1])
        step = 4 * len(registers) if operands[0].endswith("!") else 0
        return _transfers({"ldm": "ldr", "stm": "str"}[name], registers, f"[{operands[0].rstrip('!')}]", step)
    return (line,)


def _transfers(name: str, registers: tuple[str, ...], address: str, step: int) -> tuple[str, ...]:
    """Return accesses to consecutive words; the one that moves or overwrites the base is last."""
    base, _, displacement = (part.strip() for part in address.strip("[]").partition(","))
    start = int(displacement[1:]) if displacement else 0
    at = {register: start + 4 * number for number, register in enumerate(registers)}
    last = base if base in at and name == "ldr" else registers[0]
    lines = [f"{name} {r}, [{base}, #{where}]" for r, where in at.items() if r != last]
    return (*lines, f"{name} {last}, [{base}], #{step}" if step else f"{name} {last}, [{base}, #{at[last]}]")


def blocks_of(body: Sequence[str]) -> Iterator[tuple[bool, list[str]]]:
    """Yield runs of instructions that are entered at their first only, and (False) all other lines alone."""
    block: list[str] = []
    for line in body:
        code = not line.endswith(":") and not line.startswith(".")
        if code:
            block.append(line)
        if block and (not code or parse(line).jumps):
            yield True, block
            block = []
        if not code:
            yield False, [line]
    if block:
        yield True, block


def _fastest(block: list[Instruction], disjoint: bool) -> list[Instruction]:
    """Return the best of a few orders, the one given among them."""
    after = _successors(block, disjoint)
    lengths = _path_lengths(block, after)
    place = range(len(block))
    # far from the end first; the same, but what must stand first in its cycle before others; near the start first
    older = [3 * (instruction.operation.pipe is Pipe.DSP) for instruction in block]
    urgent = [-length for length in lengths]
    ranks = (
        urgent,
        [u - o for u, o in zip(urgent, older, strict=True)],
        [n + 2 * u for n, u in enumerate(urgent)],
        place,
    )
    orders = [list(place), *(_ordered(block, after, rank) for rank in ranks)]
    return min(([block[number] for number in order] for order in orders), key=loop_cycles)


def loop_cycles(block: Sequence[Instruction]) -> int:
    """Return the cycles of some turns of a block."""
    board = Scoreboard()
    for _ in range(_TURNS):
        for instruction in block:
            board.issue(instruction.operation)
        board.end_group()
    return board.cycle


def _ordered(block: list[Instruction], after: list[set[int]], rank: Sequence[int]) -> list[int]:
    """Return the numbers of the instructions in the order of their issue; the lower rank goes first of equals."""
    waits = [0] * len(block)
    for number in (n for successors in after for n in successors):
        waits[number] += 1
    ready, order, board = {n for n, count in enumerate(waits) if count == 0}, list[int](), Scoreboard()
    while ready:
        best = min(ready, key=lambda n: (board.earliest(block[n].operation), rank[n], n))
        board.issue(block[best].operation)
        ready.remove(best)
        order.append(best)
        for number in after[best]:
            waits[number] -= 1
            if waits[number] == 0:
                ready.add(number)
    return order


def _successors(block: list[Instruction], disjoint: bool) -> list[set[int]]:
    """Return for every instruction those that must stay behind it."""
    found: list[set[int]] = [set() for _ in block]
    changed = [i.operation.writes | i.operation.pointer for i in block]
    touched = [i.operation.reads | c for i, c in zip(block, changed, strict=True)]
    places = _places(block, changed)
    for number, later in enumerate(block):
        for before in range(number):
            tied = changed[before] & touched[number] or changed[number] & touched[before]
            first, second = places[before], places[number]
            if tied or later.jumps or (first and second and _may_meet(first, second, disjoint)):
                found[before].add(number)
    return found


# an access, and how often its base register had changed before
_Place = tuple[Access, int]


def _places(block: list[Instruction], changed: list[frozenset[int]]) -> list[_Place | None]:
    changes: Counter[int] = Counter()
    found: list[_Place | None] = []
    for instruction, registers in zip(block, changed, strict=True):
        access = instruction.access
        found.append((access, changes[access.base]) if access is not None else None)
        changes.update(registers)
    return found


def _may_meet(one: _Place, other: _Place, disjoint: bool) -> bool:
    """Whether the order of two accesses may matter. The stack frame is reached by sp alone."""
    (first, since), (second, until) = one, other
    if not first.stores and not second.stores:
        return False
    if (first.base == SP) != (second.base == SP) or (disjoint and first.stores != second.stores and first.base != SP):
        return False
    if first.base != second.base or since != until:
        return True
    ends = first.displacement + first.size, second.displacement + second.size
    return first.displacement < ends[1] and second.displacement < ends[0]


def _path_lengths(block: list[Instruction], after: list[set[int]]) -> list[int]:
    """Return how many cycles at least lie between each instruction's issue and the block's end."""
    lengths = [0] * len(block)
    for number in reversed(range(len(block))):
        operation = block[number].operation
        lengths[number] = max(
            (lengths[n] + _distance(operation, block[n].operation) for n in after[number]), default=operation.latency
        )
    return lengths


def _distance(first: Operation, second: Operation) -> int:
    used = first.writes & second.reads
    if not used:
        return 0
    return first.latency + bool(used & second.early) - bool(used <= second.late)
