"""What a run of instructions computes, as expressions of what it found: two runs that agree do the same.

Nothing is known of an instruction but its operands, which of them it changes and what memory it touches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.compiler.kernels.thumb2.instructions import (
    SP,
    Access,
    Instruction,
    is_register,
    operands_of,
    register,
)

Value = tuple[object, ...]
Place = tuple[Value, int, int]  # root of an address, displacement, size
Store = tuple[Place, Value]
FRAME: Value = ("at start", SP)
# without a target, or with two of them, which one reads
USING_ALL = ("cmp", "tst", "smlald")


@dataclass
class State:
    """Registers by number, and all stores in their order. Nothing but sp reaches the stack frame."""

    disjoint: bool
    registers: dict[int, Value] = field(default_factory=dict)
    stores: list[Store] = field(default_factory=list)

    def run(self, instruction: Instruction) -> None:
        name, operands = operands_of(instruction.line)
        if instruction.access is not None:
            self._transfer(name, operands, instruction.access, moved=bool(instruction.operation.pointer))
        elif not instruction.jumps:
            used = operands if name in USING_ALL else operands[1:]
            words = [word for operand in used for word in operand.split()]
            result = name, *(self._value(register(w)) if is_register(w) else w for w in words)
            self.registers |= dict.fromkeys(instruction.operation.writes, result)

    def memory(self) -> frozenset[tuple[Store, frozenset[Store]]]:
        """Return every store with those before it that it may write over."""
        return frozenset((s, _meeting(self.stores[:number], s[0])) for number, s in enumerate(self.stores))

    def _value(self, number: int) -> Value:
        return self.registers.get(number, ("at start", number))

    def _transfer(self, name: str, operands: tuple[str, ...], access: Access, *, moved: bool) -> None:
        root, displacement = self._address(access.base)
        place = root, displacement + access.displacement, access.size
        target = register(operands[0])
        if access.stores:
            self.stores.append((place, self._value(target)))
        else:
            unseen = self.disjoint and root != FRAME
            self.registers[target] = name, place, frozenset() if unseen else _meeting(self.stores, place)
        if moved:
            self.registers[access.base] = "moved", root, displacement + int(operands[2][1:])

    def _address(self, base: int) -> tuple[Value, int]:
        match self._value(base):
            case ("moved", tuple(root), int(displacement)):
                return root, displacement
            case other:
                return other, 0


def _meeting(stores: Sequence[Store], place: Place) -> frozenset[Store]:
    return frozenset(store for store in stores if _may_meet(store[0], place))


def _may_meet(a: Place, b: Place) -> bool:
    if a[0] == b[0]:
        return a[1] < b[1] + b[2] and b[1] < a[1] + a[2]
    return FRAME not in (a[0], b[0])


def outcome(block: Sequence[Instruction], *, disjoint: bool) -> tuple[object, ...]:
    """Return the registers and the memory that a block leaves behind, and its jump."""
    state = State(disjoint)
    for instruction in block:
        state.run(instruction)
    return state.registers, state.memory(), [i.line for i in block if i.jumps]
