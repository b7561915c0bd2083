"""What a generated routine executes, by kind of instruction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache

from services.compiler.kernels.thumb2.assembly import Routine

Mix = Counter[str]
KINDS = ("branches", "double loads", "double stores", "loads", "others", "products", "stores")
_JUMPS = ("bne", "beq", "bcc", "bpl")


def executed(routine: Routine, turns: Mapping[str, int]) -> Mix:
    """Return the instructions of a routine by kind, where loops, and what jumps to a label behind it can skip, run so
    often, by their labels.
    """
    found, times, skipped = Mix(), [1], set[str]()
    for line in routine.body:
        name, _, target = line.partition(" ")
        if line.endswith(":"):
            if line[:-1] in skipped:
                times.pop()
            else:
                times.append(times[-1] * turns[line[:-1]])
            continue
        found[_kind(name)] += times[-1]
        if target.endswith("b") and name in _JUMPS:
            times.pop()
        elif target.endswith("f") and name in _JUMPS:
            skipped.add(target[:-1])
            times.append(times[-1] * turns[target[:-1]])
    return found


@cache
def _kind(name: str) -> str:
    if name == "ldrd":
        return "double loads"
    if name == "strd":
        return "double stores"
    if name.startswith("ld"):
        return "loads"
    if name.startswith("st"):
        return "stores"
    if name.startswith(("smla", "smm")):
        return "products"
    return "branches" if name.startswith("b") else "others"
