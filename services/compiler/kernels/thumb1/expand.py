"""int8 to words of two pixels, in the order in which the matrix routine reads them."""

from __future__ import annotations

from services.compiler.kernels.thumb1.assembly import low_routine
from services.compiler.kernels.thumb2.assembly import Routine

# a tap of four pixels: x = 2^16 * second + first of both pairs
_TAP = (
    "ldrsb r6, [r1, r4]",
    "lsls r6, r6, #16",
    "ldrsb r7, [r0, r4]",
    "adds r6, r6, r7",
    "stm r5!, {r6}",
    "ldrsb r6, [r3, r4]",
    "lsls r6, r6, #16",
    "ldrsb r7, [r2, r4]",
    "adds r6, r6, r7",
    "stm r5!, {r6}",
    "adds r4, r4, #1",
)


def expand() -> Routine:
    """Return `tf_expand_four_s8(x, pixels, count)`: `count` bytes of each of four pixels; returns the next x."""
    body = (
        "mov r5, r0",
        "mov r8, r2",
        "lsrs r2, r2, #2",
        "lsls r2, r2, #2",
        "mov r9, r2",
        "ldm r1, {r0, r1, r2, r3}",
        "movs r4, #0",
        "1:",
        "cmp r4, r9",
        "beq 2f",
        *(_TAP * 4),
        "b 1b",
        "2:",
        "cmp r4, r8",
        "beq 3f",
        *_TAP,
        "b 2b",
        "3:",
        "mov r0, r5",
    )
    prototype = "uint32_t *tf_expand_four_s8(uint32_t *x, const int8_t *const *pixels, int32_t count)"
    return low_routine("tf_expand_four_s8", prototype, body)
