"""Matrix multiplication of a pair of pixels with four channels at a time: the inner loop of every convolution.

Two channels share the halfwords of a weight word: w = 256 * high + low for two k. SMLAD with the raw word sums
256 * H + L, SMLAD with its sign-extended low bytes (SXTB16) sums L, and the difference gives H exactly as long as
|H| < 2^23: half the unpacking of a plain SXTB16 pair, 12 instructions for 16 multiply-accumulates.
The pixels come as int16 in the order the weights are packed in (see `pack.py`), interleaved pairwise.
"""

from __future__ import annotations

from services.compiler.kernels.thumb2.assembly import SAVED_BYTES, Routine
from services.compiler.kernels.thumb2.requantize import Requantize

# steps (of 2 k each) in the unrolled loop: 384 bytes, so that loop and end fit the STM32L4's 1 KiB cache
STEPS = 8
STEP_BYTES = 48
# the stack frame: both output pointers, the buffer, its end, the entry into the loop, the end of the first output,
# the requantization offset
_OUT0, _X, _X_END, _ENTRY, _OUT_END, _OFFSET = 0, 8, 12, 16, 20, 24
_FRAME = 32
# channels that each pair after the last four stores, by the number of channels modulo 4
TAIL_STORES: dict[int, tuple[int, ...]] = {0: (), 1: (1,), 2: (2,), 3: (2, 1)}

# multiplications alternate with the unpacking, which a core with two issue slots then does beside them
_STEP = (
    "ldrd r2, r3, [lr], #8",
    "ldrd r0, r1, [r12], #8",
    "smlad r5, r0, r2, r5",
    "smlad r9, r1, r2, r9",
    "sxtb16 r2, r2",
    "smlad r7, r0, r3, r7",
    "smlad r11, r1, r3, r11",
    "sxtb16 r3, r3",
    "smlad r4, r0, r2, r4",
    "smlad r8, r1, r2, r8",
    "smlad r6, r0, r3, r6",
    "smlad r10, r1, r3, r10",
)
_TAIL_STEP = (
    "ldrd r0, r1, [r12], #8",
    "ldr r2, [lr], #4",
    "smlad r5, r0, r2, r5",
    "smlad r9, r1, r2, r9",
    "sxtb16 r2, r2",
    "smlad r4, r0, r2, r4",
    "smlad r8, r1, r2, r8",
)


def gemm_name(relu: bool, tail: int) -> str:
    """Return the routine's C name; `tail` is the number of output channels modulo 4."""
    return f"tf_gemm{'_relu' if relu else ''}_t{tail}_s8"


def gemm_entry(depth: int) -> int:
    """Return the byte offset into the unrolled loop at which `depth` (a multiple of 4) values are started."""
    return (-(depth // 2) % STEPS) * STEP_BYTES


def gemm(relu: bool, tail: int) -> Routine:
    """Return `name(x, weights, out0, out1, shape)`: x [depth/2][2 pixels][2] int16, outputs [channels] int8."""
    name = gemm_name(relu, tail)
    requantize = Requantize(relu)
    prototype = (
        f"void {name}(const int16_t *x, const uint32_t *weights, int8_t *out0, int8_t *out1, "
        "const tf_gemm_shape *shape)"
    )
    body = (
        f"strd r2, r3, [sp, #{_OUT0}]",
        f"ldr r4, [sp, #{_FRAME + SAVED_BYTES}]",
        "ldm r4, {r5, r6, r7, r8}",
        f"str r8, [sp, #{_OFFSET}]",
        "add r5, r0, r5",
        "add r7, r2, r7",
        f"strd r0, r5, [sp, #{_X}]",
        "adr r5, 2f",
        "add r5, r5, r6",
        "orr r5, r5, #1",
        f"strd r5, r7, [sp, #{_ENTRY}]",
        "mov lr, r1",
        "cmp r2, r7",
        "beq 9f",
        *_quad(requantize),
        "9:",
        *_tail(requantize, TAIL_STORES[tail]),
    )
    return Routine(name, prototype, body, _FRAME)


def _tail(requantize: Requantize, stores: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(line for label, count in zip("34", stores, strict=False) for line in _pair(requantize, label, count))


def _quad(requantize: Requantize) -> tuple[str, ...]:
    return (
        "1:",
        f"ldr r12, [sp, #{_X}]",
        "ldm lr!, {r4-r7}",
        "mov r8, r4",
        "mov r9, r5",
        "mov r10, r6",
        "mov r11, r7",
        f"ldr pc, [sp, #{_ENTRY}]",
        ".balign 4",
        "2:",
        *(_STEP * STEPS),
        f"ldr r0, [sp, #{_X_END}]",
        "cmp r12, r0",
        "bne 2b",
        *(line for low, high in ((4, 5), (6, 7), (8, 9), (10, 11)) for line in _split(low, high)),
        f"ldrd r12, r3, [sp, #{_OUT0}]",
        *_stores(requantize, 4),
        f"strd r12, r3, [sp, #{_OUT0}]",
        f"ldr r0, [sp, #{_OUT_END}]",
        "cmp r12, r0",
        "bne 1b",
    )


def _pair(requantize: Requantize, label: str, stores: int) -> tuple[str, ...]:
    """Return the code of one or two last channels."""
    return (
        f"ldr r12, [sp, #{_X}]",
        "ldm lr!, {r4, r5}",
        "mov r8, r4",
        "mov r9, r5",
        f"{label}:",
        *(_TAIL_STEP * 2),
        f"ldr r0, [sp, #{_X_END}]",
        "cmp r12, r0",
        f"bne {label}b",
        *(line for low, high in ((4, 5), (8, 9)) for line in _split(low, high)),
        f"ldrd r12, r3, [sp, #{_OUT0}]",
        *_stores(requantize, stores),
        f"strd r12, r3, [sp, #{_OUT0}]",
    )


def _split(low: int, high: int) -> tuple[str, ...]:
    """Return the doubled sums of both channels: high = (raw - low) / 128, low = 2 * low."""
    return f"sub r{high}, r{high}, r{low}", f"asr r{high}, r{high}, #7", f"lsl r{low}, r{low}, #1"


def _stores(requantize: Requantize, channels: int) -> tuple[str, ...]:
    """Return requantization and stores of some channels of both pixels: first their shifts, one a byte."""
    code = [f"ldr r2, [sp, #{_OFFSET}]", "ldm lr!, {r0, r1}"]
    for channel in range(channels):
        if channel:
            code += ["ldr r1, [lr], #4", "lsr r0, r0, #8"]
        first, second = f"r{4 + channel}", f"r{8 + channel}"
        code += requantize.lines((first, second), "r1", "r0", "r2")
        code += [f"strb {first}, [r12], #1", f"strb {second}, [r3], #1"]
    return tuple(code)
