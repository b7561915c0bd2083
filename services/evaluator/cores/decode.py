"""Thumb code of a basic block as the cycle models see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import capstone
from capstone import arm_const

from services.common.cortex_m7 import Operation
from services.evaluator.cores.operation import operation
from services.evaluator.cores.unit import Unit
from services.evaluator.errors import BoardError


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its unit, transfers of registers, the registers it reads and writes, how a Cortex-M7 sees it."""

    unit: Unit
    transfers: int
    reads: frozenset[int]
    writes: frozenset[int]
    operation: Operation
    text: str


_SHIFTS = frozenset(
    {
        "lsl",
        "lsls",
        "lsr",
        "lsrs",
        "asr",
        "asrs",
        "ror",
        "rors",
        "uxtb",
        "uxth",
        "sxtb",
        "sxth",
        "uxtab",
        "sxtab",
        "uxtah",
        "sxtah",
        "sxtb16",
        "uxtb16",
        "sxtab16",
        "uxtab16",
        "ubfx",
        "sbfx",
        "bfi",
        "bfc",
        "rev",
        "rev16",
        "ssat",
        "usat",
        "pkhbt",
        "pkhtb",
    }
)
_LONG = ("umull", "smull", "umlal", "smlal", "umaal")
_MULTIPLIES = ("mul", "mla", "mls", "smul", "smla", "smmul", "smmla", "smmls", "smuad", "smusd", "smlsd", "usad")
_LOAD_MANY = ("ldm", "pop", "vldm", "vpop", "ldrd")
_STORE_MANY = ("stm", "push", "vstm", "vpush", "strd")


def _new_decoder() -> Any:
    decoder = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS | capstone.CS_MODE_V8)
    decoder.detail = True
    return decoder


def decode(code: bytes, address: int) -> tuple[Instruction, ...]:
    """Decode a block that was executed; BoardError when not all of its bytes are instructions."""
    found = tuple(_new_decoder().disasm(code, address))
    if sum(instruction.size for instruction in found) != len(code):
        raise BoardError(f"the block at {address:#010x} cannot be decoded", subject="block", value=code.hex())
    return tuple(_classify(instruction) for instruction in found)


def _classify(instruction: Any) -> Instruction:
    reads, writes = instruction.regs_access()
    mnemonic = instruction.mnemonic.split(".")[0]
    unit = _unit(instruction, mnemonic)
    transfers = 0
    if unit in (Unit.LOAD_MANY, Unit.STORE_MANY):
        registers = [o for o in instruction.operands if o.type == arm_const.ARM_OP_REG]
        based = mnemonic.startswith(("ldm", "stm", "vldm", "vstm"))
        words = sum(2 if instruction.reg_name(o.reg).startswith("d") else 1 for o in registers[int(based) :])
        transfers = 2 if mnemonic in ("ldrd", "strd") else max(1, words)
    text = f"{instruction.mnemonic} {instruction.op_str}".strip()
    seen = operation(instruction, unit, transfers)
    return Instruction(unit, transfers, frozenset(reads), frozenset(writes), seen, text)


def _unit(instruction: Any, mnemonic: str) -> Unit:
    jump = {capstone.CS_GRP_JUMP, capstone.CS_GRP_CALL} & set(instruction.groups)
    if mnemonic.startswith(("it", "dsb", "isb", "dmb")):
        return Unit.IT if mnemonic.startswith("it") else Unit.BARRIER
    if mnemonic.startswith(_LOAD_MANY):
        return Unit.LOAD_MANY
    if mnemonic.startswith(_STORE_MANY):
        return Unit.STORE_MANY
    if mnemonic in ("bl", "blx"):
        return Unit.CALL
    if jump or mnemonic in ("tbb", "tbh", "bx"):
        return Unit.BRANCH
    if mnemonic.startswith("v"):
        return _float_unit(mnemonic)
    if mnemonic.startswith("ldr"):
        return Unit.LOAD
    if mnemonic.startswith("str"):
        return Unit.STORE
    return _data_unit(instruction, mnemonic)


def _float_unit(mnemonic: str) -> Unit:
    if mnemonic.startswith(("vldr", "vstr")):
        return Unit.LOAD if mnemonic.startswith("vldr") else Unit.STORE
    if mnemonic.startswith(("vmla", "vmls", "vfma", "vfms", "vnmla", "vnmls", "vfnma", "vfnms")):
        return Unit.FLOAT_MAC
    return Unit.FLOAT_DIVIDE if mnemonic.startswith(("vdiv", "vsqrt")) else Unit.FLOAT


def _data_unit(instruction: Any, mnemonic: str) -> Unit:
    if mnemonic.startswith(("sdiv", "udiv")):
        return Unit.DIVIDE
    if mnemonic.startswith(_LONG):
        return Unit.LONG_MULTIPLY
    if mnemonic.startswith(_MULTIPLIES):
        return Unit.MULTIPLY
    shifted = any(operand.shift.type != arm_const.ARM_SFT_INVALID for operand in instruction.operands)
    return Unit.SHIFT if shifted or mnemonic in _SHIFTS else Unit.ALU
