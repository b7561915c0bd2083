"""How many bytes the assembler makes of a routine: Thumb-2 instructions of 2 or 4 bytes.

Knows the forms that the routines here use, and takes 4 bytes for all others. Where an instruction has both forms, the
assembler takes the narrow one. Source: Armv7-M Architecture Reference Manual, encodings T1 to T4.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from services.compiler.kernels.thumb2.assembly import Routine

_LOW = frozenset(f"r{number}" for number in range(8))
_OPERANDS = re.compile(r"\[[^\]]*\]!?|\{[^}]*\}|[^,\s][^,]*")
# how far a narrow branch reaches from its own address, back and on, with and without a condition
_REACH_IF, _REACH = (252, 258), (2044, 2050)
_BRANCHES = frozenset(("b", "bne", "beq", "blt", "bcc", "bpl"))
# the routines of all shapes are made of few different lines
_REMEMBERED = 1 << 15


def code_bytes(routine: Routine) -> int:
    """Return the bytes between the routine's label and its end."""
    parts = tuple(_parts(routine))
    labels: dict[str, int] = {}
    while True:  # branches grow until every one reaches its label
        found, size = _laid_out(parts, labels)
        if found == labels:
            return size
        labels = found


# bytes of instructions that lie together, and the label, alignment or branch behind them
Part = tuple[int, str]


def _parts(routine: Routine) -> Iterator[Part]:
    size = 0
    for line in routine.lines():
        width = 2 if routine.narrow and not line.endswith(":") and not line.startswith(".") else _width(line)
        if width is None:
            yield size, line
            size = 0
        else:
            size += width
    yield size, ""


def _laid_out(parts: Iterable[Part], known: dict[str, int]) -> tuple[dict[str, int], int]:
    """Return where labels come to lie, and the size, with branches as wide as the labels known ask for."""
    at, labels = 0, dict[str, int]()
    for size, line in parts:
        at += size
        if line.endswith(":"):
            labels[line[:-1]] = at
        elif line.startswith(".balign"):
            at = -(-at // 4) * 4
        elif line:
            name, _, target = line.partition(" ")
            at += 2 if _near(name, target, at, known) else 4
    return labels, at


@lru_cache(maxsize=_REMEMBERED)
def _width(line: str) -> int | None:
    """Return the bytes of a line; None where they depend on what lies before it: labels, alignments and branches."""
    if line.endswith(":") or line.startswith(".balign"):
        return None
    if line.startswith("."):
        return 0
    name, _, rest = line.partition(" ")
    if name in _BRANCHES:
        return None
    return 2 if _narrow(name, tuple(part.strip() for part in _OPERANDS.findall(rest))) else 4


def _narrow(name: str, operands: tuple[str, ...]) -> bool:
    match name:
        case "ldr" | "str" | "ldrb" | "strb" | "strh":
            return len(operands) == 2 and operands[0] in _LOW and _short_address(name, operands[1])
        case "ldm" | "stm":
            return operands[0].endswith("!") and operands[0][:-1] in _LOW and _all_low(operands[1])
        case "add" | "sub" | "mov" | "cmp" | "subs" | "adr":
            return _narrow_arithmetic(name, operands)
        case _:
            return False


def _near(name: str, target: str, at: int, labels: dict[str, int]) -> bool:
    back, on = _REACH if name == "b" else _REACH_IF
    return -back <= labels.get(target[:-1], at) - at <= on


def _short_address(name: str, address: str) -> bool:
    base, _, offset = address.strip("[]").partition(",")
    distance = int(offset.strip().removeprefix("#") or 0)
    if address.endswith("!"):
        return False
    if base == "sp":
        return name in ("ldr", "str") and distance % 4 == 0 and 0 <= distance <= 1020
    step = {"ldr": 4, "str": 4, "strh": 2}.get(name, 1)
    return base in _LOW and distance % step == 0 and 0 <= distance <= 31 * step


def _all_low(registers: str) -> bool:
    names = [name for part in registers.strip("{}").split(",") for name in part.strip().split("-")]
    return all(name in _LOW for name in names)


def _narrow_arithmetic(name: str, operands: tuple[str, ...]) -> bool:
    """Without a flag set, additions are narrow only as `rd = rd + rm` and on the stack pointer."""
    last = operands[-1]
    constant = int(last[1:]) if last.startswith("#") else None
    match name:
        case "mov":
            return constant is None
        case "cmp":
            return constant is None or (operands[0] in _LOW and 0 <= constant <= 255)
        case "subs" if constant is None:
            return len(operands) == 3 and _LOW.issuperset(operands)
        case "subs":
            return operands[0] == operands[1] and operands[0] in _LOW and constant is not None and constant <= 255
        case "adr":
            return operands[0] in _LOW
        case "add" if operands[0] in _LOW and operands[1] == "sp":
            return constant is not None and constant % 4 == 0 and 0 <= constant <= 1020
        case _ if operands[0] == "sp":
            return constant is not None and constant % 4 == 0 and 0 <= constant <= 508
        case _:
            return name == "add" and len(operands) == 3 and constant is None and operands[0] in operands[1:]
