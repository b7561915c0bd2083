"""Assembly routines of Armv6-M: arithmetic on r0 to r7, with r8 to r12 and lr as accumulators.

ADD, MOV and CMP take high registers, everything else does not; MULS overwrites one of its operands; LDM and STM of n
registers take 1 + n cycles where n LDR or STR take 2n. Source: Armv6-M Architecture Reference Manual, Cortex-M0+
Technical Reference Manual.
"""

from __future__ import annotations

from services.compiler.kernels.thumb2.assembly import Routine

_HIGH = ("r8", "r9", "r10", "r11")
_LOW = ("r4", "r5", "r6", "r7")
_ENTER = (
    "push {r4-r7, lr}",
    *(f"mov {low}, {high}" for low, high in zip(_LOW, _HIGH, strict=True)),
    "push {r4-r7}",
)
_LEAVE = (
    "pop {r4-r7}",
    *(f"mov {high}, {low}" for low, high in zip(_LOW, _HIGH, strict=True)),
    "pop {r4-r7, pc}",
)


def low_routine(name: str, prototype: str, body: tuple[str, ...], frame_bytes: int = 0) -> Routine:
    """Return a routine that saves and restores r4 to r11 and lr with Armv6-M's instructions."""
    return Routine(name, prototype, body, frame_bytes, _ENTER, _LEAVE, narrow=True)
