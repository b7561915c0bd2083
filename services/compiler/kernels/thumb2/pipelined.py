"""The matrix routines' inner loop for a core that issues two instructions a cycle, one of them a multiplication.

A step multiplies values that the step before has loaded, so that no multiplication waits for memory: 8 cycles for 16
multiply-accumulates. The values of the first step are loaded before the loop, and the last step, which loads nothing,
lies behind it: nothing is read beyond the end. Between steps r3 is free and its value still to be loaded.
"""

from __future__ import annotations

STEP_BYTES = 56

_FIRST_VALUES = ("ldr r0, [r12], #8", "ldr r1, [r12, #-4]", "ldr r2, [lr], #8")
_HALF_STEP = (
    "smlad r5, r0, r2, r5",
    "ldr r3, [lr, #-4]",
    "smlad r9, r1, r2, r9",
    "sxtb16 r2, r2",
    "smlad r7, r0, r3, r7",
    "smlad r11, r1, r3, r11",
    "sxtb16 r3, r3",
    "smlad r4, r0, r2, r4",
    "smlad r6, r0, r3, r6",
)
_STEP = (
    *_HALF_STEP,
    "ldr r0, [r12], #8",
    "smlad r8, r1, r2, r8",
    "ldr r2, [lr], #8",
    "smlad r10, r1, r3, r10",
    "ldr r1, [r12, #-4]",
)
_LAST_STEP = (*_HALF_STEP, "smlad r8, r1, r2, r8", "smlad r10, r1, r3, r10")


def entry_lines(steps: int) -> tuple[str, ...]:
    """Return the code that makes of r4, the bytes of a pair's values, the offset of the entry, in r5; changes r8.

    All steps but the last are in the loop of `steps`.
    """
    return (
        "lsr r5, r4, #3",
        "rsb r5, r5, #1",
        f"and r5, r5, #{steps - 1}",
        f"mov r8, #{STEP_BYTES}",
        "mul r5, r5, r8",
    )


def loop_lines(label: str, steps: int, entry: int, weights_end: int) -> tuple[str, ...]:
    """Return the loop; `entry` and `weights_end` are the places of its entry and of the end of lr on the stack."""
    unrolled = [line for step in range(steps) for line in ((f"{label}{step}:" if step else f"{label}:"), *_STEP)]
    return (
        *_FIRST_VALUES,
        f"ldr pc, [sp, #{entry}]",
        ".balign 4",
        *unrolled,
        f"ldr r3, [sp, #{weights_end}]",
        "cmp lr, r3",
        f"bne {label}b",
        *_LAST_STEP,
    )
