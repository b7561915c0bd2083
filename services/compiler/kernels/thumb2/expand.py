"""int8 to int16 in the order of the packed weights: x0, x2, x1, x3 of every four values."""

from __future__ import annotations

from services.compiler.kernels.thumb2.assembly import Routine

_LOAD_TWO = (
    "ldr r4, [r1], #4",
    "ldr r5, [r2], #4",
    "sxtb16 r6, r4, ror #8",
    "sxtb16 r7, r5, ror #8",
    "sxtb16 r4, r4",
    "sxtb16 r5, r5",
    "stm r0!, {r4-r7}",
)


def expand_pair() -> Routine:
    """Return `tf_expand_pair_s8(x, a, b, count)`: two pixels' bytes, interleaved by words; returns the next x.

    `count` is a multiple of 4 above 0; a and b may have any alignment.
    """
    body = (
        "add r3, r1, r3",
        "sub r8, r3, r1",
        "tst r8, #4",
        "beq 2f",
        *_LOAD_TWO,
        "cmp r1, r3",
        "beq 3f",
        "2:",
        *_LOAD_TWO,
        *_LOAD_TWO,
        "cmp r1, r3",
        "bne 2b",
        "3:",
    )
    prototype = "int16_t *tf_expand_pair_s8(int16_t *x, const int8_t *a, const int8_t *b, int32_t count)"
    return Routine("tf_expand_pair_s8", prototype, body)


def expand() -> Routine:
    """Return `tf_expand_s8(x, in, count)`: one vector; `count` is a multiple of 4 above 0; returns the next x."""
    body = (
        "add r2, r1, r2",
        "1:",
        "ldr r3, [r1], #4",
        "sxtb16 r12, r3",
        "sxtb16 r3, r3, ror #8",
        "strd r12, r3, [r0], #8",
        "cmp r1, r2",
        "bne 1b",
    )
    return Routine("tf_expand_s8", "int16_t *tf_expand_s8(int16_t *x, const int8_t *in, int32_t count)", body)
