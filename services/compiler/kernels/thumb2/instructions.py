"""Lines of assembly as the Cortex-M7's pipeline sees them, and what memory they touch.

Knows the instructions that the routines here use; another one is an error in a generator, not in a model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from services.common.cortex_m7 import FLAGS, LOAD_LATENCY, PRODUCT_LATENCY, Operation, Pipe, is_shifted_constant

SP, PC = 13, 15
_NAMES = {"sp": SP, "lr": 14, "pc": PC} | {f"r{number}": number for number in range(13)}
_OPERANDS = re.compile(r"\[[^\]]*\]!?|\{[^}]*\}|[^,\s][^,]*")
_LOADS = {"ldr": 4, "ldrb": 1, "ldrsb": 1, "ldrh": 2, "ldrsh": 2}
_STORES = {"str": 4, "strb": 1, "strh": 2}
_SUMS_OF_PRODUCTS = ("smlad", "smlabb", "smlabt", "smlatb", "smlatt", "smmlar", "mla")
_LONG_PRODUCTS = ("smlald", "umull")  # write two registers
_PRODUCTS = ("smmulr", "mul", "smulbb", "smuad")
_EXTRACTS = ("sxtb16", "sxtab", "sxtab16", "sxtb", "uxtb", "uxtb16", "pkhbt", "pkhtb", "ubfx", "sbfx")
_DSP = (*_EXTRACTS, "ssat", "usat", "sadd16", "ssub16", "sadd8", "ssub8", "sel")
_SHIFTS = ("asr", "lsl", "lsr", "ror")
_PLAIN = ("add", "sub", "rsb", "orr", "and", "eor", "mov", "mvn", "adr", "movw")
_SETTING_FLAGS = ("adds", "subs", "lsls", "lsrs", "asrs", "ands", "rsbs")
_COMPARES = ("cmp", "tst", "cmn")
_BRANCHES = ("b", "bne", "beq", "blt", "bge", "bgt", "ble", "bcc", "bcs", "bpl", "bmi")


@dataclass(frozen=True, slots=True)
class Access:
    """A value in memory: its size, and the base register's number and displacement at the time of the access."""

    stores: bool
    base: int
    displacement: int
    size: int


@dataclass(frozen=True, slots=True)
class Instruction:
    """A line, what the pipeline does with it, its access to memory, and whether it ends a block."""

    line: str
    operation: Operation
    access: Access | None = None
    jumps: bool = False


def operands_of(line: str) -> tuple[str, tuple[str, ...]]:
    """Return the mnemonic and the operands of a line."""
    name, _, rest = line.partition(" ")
    return name, tuple(part.strip() for part in _OPERANDS.findall(rest))


def parse(line: str) -> Instruction:
    """Return the instruction of a line; registers loaded or stored by the pair or list are to be split before."""
    name, operands = operands_of(line)
    if name in _LOADS or name in _STORES:
        return _access(line, name, operands)
    if name in _BRANCHES:
        return Instruction(line, Operation(Pipe.BRANCH), jumps=True)
    return Instruction(line, _arithmetic(name, operands))


def _access(line: str, name: str, operands: tuple[str, ...]) -> Instruction:
    first, inside = register(operands[0]), operands[1].strip("[]!").split(",")
    base = register(inside[0].strip())
    displacement = _constant(inside[1]) if len(inside) > 1 else 0
    moves = len(operands) > 2 or operands[1].endswith("!")
    pointer = frozenset({base}) if moves else frozenset[int]()
    bases = frozenset({base})
    address = base, displacement
    if name in _STORES:
        late = frozenset({first}) - bases
        access = Access(True, base, displacement, _STORES[name])
        operation = Operation(Pipe.STORE, bases | {first}, frozenset(), bases, late, pointer, address=address)
        return Instruction(line, operation, access)
    access = Access(False, base, displacement, _LOADS[name])
    operation = Operation(
        Pipe.LOAD, bases, frozenset({first}), bases, frozenset(), pointer, LOAD_LATENCY, address=address
    )
    return Instruction(line, operation, access, jumps=first == PC)


def _arithmetic(name: str, operands: tuple[str, ...]) -> Operation:
    named = [register(o) for o in operands if o in _NAMES]
    target, sources = frozenset(named[:1]), frozenset(named[1:])
    amount = operands[-1].partition(" ")[0] in _SHIFTS and not operands[-1].endswith(" #0")  # asr #1, ror #8
    if name in _SUMS_OF_PRODUCTS:
        factors, total = frozenset(named[1:3]), frozenset(named[3:])
        return Operation(Pipe.MULTIPLY, sources, target, late=total - factors, latency=PRODUCT_LATENCY)
    if name in _LONG_PRODUCTS:
        pair = frozenset(named[:2])
        sums = pair if name == "smlald" else frozenset[int]()
        return Operation(Pipe.MULTIPLY, frozenset(named[2:]) | sums, pair, late=sums, latency=PRODUCT_LATENCY)
    if name == "sbc":
        return Operation(Pipe.ALU, sources | {FLAGS}, target)
    if name in _PRODUCTS:
        return Operation(Pipe.MULTIPLY, sources, target, latency=PRODUCT_LATENCY)
    if name in _DSP:
        early = frozenset(named[-1:]) if amount or name in _EXTRACTS else frozenset[int]()
        return Operation(Pipe.DSP, sources, target, early)
    if name in _SHIFTS:
        return Operation(Pipe.SHIFT, sources, target)
    if name in _COMPARES:
        return Operation(Pipe.ALU, frozenset(named), frozenset({FLAGS}))
    if name in _SETTING_FLAGS:
        return Operation(Pipe.SHIFT if name[:3] in _SHIFTS else Pipe.ALU, sources, target | {FLAGS})
    if name not in _PLAIN:
        raise AssertionError(f"the generators here use no instruction {name!r}")
    if amount:
        return Operation(Pipe.SHIFT, sources, target, frozenset(named[-1:]))
    shifted = operands[-1].startswith("#") and is_shifted_constant(name, _constant(operands[-1]))
    return Operation(Pipe.SHIFT if shifted else Pipe.ALU, sources, target)


def register(name: str) -> int:
    """Return the number of a register; KeyError for what is none."""
    return _NAMES[name]


def is_register(name: str) -> bool:
    """Whether an operand is one register."""
    return name in _NAMES


def register_list(operand: str) -> tuple[str, ...]:
    """Return the names in a list such as {r4-r7, lr}."""
    found: list[str] = []
    for part in operand.strip("{}").split(","):
        first, _, last = part.strip().partition("-")
        found += [f"r{n}" for n in range(int(first[1:]), int(last[1:]) + 1)] if last else [first]
    return tuple(found)


def _constant(operand: str) -> int:
    return int(operand.strip().removeprefix("#"))
