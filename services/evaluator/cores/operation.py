"""A decoded instruction as the Cortex-M7's pipeline sees it."""

from __future__ import annotations

from typing import Any

from capstone import arm_const

from services.common.cortex_m7 import FLAGS, LOAD_LATENCY, PRODUCT_LATENCY, Operation, Pipe, is_shifted_constant
from services.evaluator.cores.unit import Unit

_FLOATS = 32
_NAMES = {"sb": 9, "sl": 10, "fp": 11, "ip": 12, "sp": 13, "lr": 14, "pc": 15}
# what reads its source a stage early; saturation and parallel sums do not count as extracting unless they shift
_EXTRACTS = ("sxt", "uxt", "ubfx", "sbfx", "bfi", "rev", "rbit", "pkh")
_DSP = (
    *_EXTRACTS, "bfc", "ssat", "usat", "sadd", "uadd", "ssub", "usub", "shadd", "uhadd", "qadd", "qsub", "sel", "clz",
)  # fmt: skip
_SHIFTS = ("lsl", "lsr", "asr", "ror", "rrx")
_FLOAT_LATENCY = {Unit.FLOAT: 3, Unit.FLOAT_MAC: 6, Unit.FLOAT_DIVIDE: 16}
_DIVIDE_CYCLES = 7


def number(name: str) -> int:
    """Return the register's number: 0 to 15, 16 for flags of any kind, above for floats (a double's first half)."""
    if name in _NAMES:
        return _NAMES[name]
    if not name[1:].isdecimal():
        return FLAGS
    within = int(name[1:])
    return {"r": within, "s": _FLOATS + within, "d": _FLOATS + 2 * within}.get(name[0], FLAGS)


def operation(instruction: Any, unit: Unit, transfers: int) -> Operation:
    """Return the operation of a capstone instruction."""
    mnemonic = instruction.mnemonic.split(".")[0]
    reads, writes = (frozenset(_registers(instruction, found)) for found in instruction.regs_access())
    match unit:
        case Unit.LOAD_MANY | Unit.STORE_MANY:
            return Operation(
                Pipe.ALONE, reads, writes, early=_bases(instruction, reads), cycles=_transfers(unit, transfers)
            )
        case Unit.DIVIDE:
            return Operation(Pipe.ALONE, reads, writes, cycles=_DIVIDE_CYCLES)
        case Unit.LOAD | Unit.STORE:
            return _access(instruction, unit, reads, writes)
        case Unit.MULTIPLY | Unit.LONG_MULTIPLY:
            sums = _accumulators(instruction, mnemonic)
            # capstone tells of SMLALD's sums only as written
            return Operation(Pipe.MULTIPLY, reads | sums, writes, late=sums, latency=PRODUCT_LATENCY)
        case Unit.BRANCH | Unit.CALL | Unit.IT:
            # predicted: it waits for no flags
            return Operation(Pipe.BRANCH, reads - {FLAGS}, writes)
        case Unit.FLOAT | Unit.FLOAT_MAC | Unit.FLOAT_DIVIDE:
            return Operation(Pipe.FLOAT, reads, writes, latency=_FLOAT_LATENCY[unit])
        case Unit.BARRIER:
            return Operation(Pipe.ALONE, reads, writes)
        case Unit.ALU | Unit.SHIFT:
            return _arithmetic(instruction, mnemonic, reads, writes)


def _registers(instruction: Any, found: list[int]) -> list[int]:
    return [number(instruction.reg_name(register)) for register in found]


def _transfers(unit: Unit, count: int) -> int:
    """Return the cycles of a transfer of registers: stores of whole double words may straddle them."""
    return -(-count // 2) + (unit is Unit.STORE_MANY and count % 2 == 0)


def _bases(instruction: Any, reads: frozenset[int]) -> frozenset[int]:
    """Return the registers that make an address."""
    memory = [o for o in instruction.operands if o.type == arm_const.ARM_OP_MEM]
    if not memory:  # LDM and its kin: the first operand, PUSH and POP: the stack pointer
        first = instruction.operands[0]
        named = number(instruction.reg_name(first.reg)) if first.type == arm_const.ARM_OP_REG else 13
        return reads & ({13} if instruction.mnemonic.startswith(("push", "pop", "vpush", "vpop")) else {named})
    names = [r for r in (memory[0].mem.base, memory[0].mem.index) if r]
    return reads & frozenset(_registers(instruction, names))


def _access(instruction: Any, unit: Unit, reads: frozenset[int], writes: frozenset[int]) -> Operation:
    bases = _bases(instruction, reads)
    pointer = bases & writes if instruction.writeback else frozenset()
    memory = next(o.mem for o in instruction.operands if o.type == arm_const.ARM_OP_MEM)
    base = number(instruction.reg_name(memory.base))
    post_indexed = instruction.writeback and instruction.post_index
    address = None if memory.index else (base, 0 if post_indexed else memory.disp)
    if unit is Unit.STORE:
        return Operation(Pipe.STORE, reads, writes - pointer, bases, reads - bases, pointer, address=address)
    return Operation(Pipe.LOAD, reads, writes - pointer, bases, frozenset(), pointer, LOAD_LATENCY, address=address)


def _accumulators(instruction: Any, mnemonic: str) -> frozenset[int]:
    """Return the registers that are added to a product and nothing else."""
    named = [number(instruction.reg_name(o.reg)) for o in instruction.operands]
    if mnemonic.startswith(("smlal", "umlal", "smlald", "smlsld", "umaal")):
        sums, factors = named[:2], named[2:]
    elif mnemonic.startswith(("mla", "mls", "smla", "smmla", "smmls", "smlsd", "usada")):
        sums, factors = named[3:], named[1:3]
    else:
        return frozenset()
    return frozenset(sums) - frozenset(factors)


def _arithmetic(instruction: Any, mnemonic: str, reads: frozenset[int], writes: frozenset[int]) -> Operation:
    operands = instruction.operands
    # capstone leaves out the second source of PKHBT and the flags of SUBS, and tells of flags that ADC and SBC leave
    named = [number(instruction.reg_name(o.reg)) for o in operands if o.type == arm_const.ARM_OP_REG]
    reads |= frozenset(named[1:])
    sets_flags = instruction.update_flags and mnemonic.partition(".")[0] not in ("adc", "sbc")
    writes = (writes - {FLAGS}) | (frozenset({FLAGS}) if sets_flags else frozenset())
    shifted = [o for o in operands if o.shift.type != arm_const.ARM_SFT_INVALID and o.type == arm_const.ARM_OP_REG]
    constants = [o.imm for o in operands if o.type == arm_const.ARM_OP_IMM]
    early = frozenset(number(instruction.reg_name(o.reg)) for o in shifted)
    if mnemonic.startswith(_EXTRACTS) and not shifted:
        early = frozenset(named[-1:])
    if mnemonic.startswith(_DSP):
        return Operation(Pipe.DSP, reads, writes, early & reads)
    if (
        shifted
        or mnemonic.startswith(_SHIFTS)
        or any(is_shifted_constant(mnemonic, constant) for constant in constants)
    ):
        return Operation(Pipe.SHIFT, reads, writes, early & reads)
    return Operation(Pipe.ALU, reads, writes)
