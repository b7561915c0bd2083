"""Matrix multiplication of one vector with four channels at a time: fully connected layers."""

from __future__ import annotations

from services.compiler.kernels.thumb2.assembly import Routine
from services.compiler.kernels.thumb2.gemm import TAIL_STORES
from services.compiler.kernels.thumb2.requantize import Requantize

# steps (of 4 k each) in the unrolled loop
STEPS = 4
STEP_BYTES = 56
_X, _ENTRY, _OUT_END, _OFFSET = 0, 4, 8, 12
_FRAME = 16

_STEP = (
    "ldrd r0, r1, [r12], #8",
    "ldm lr!, {r2, r3, r8, r9}",
    "smlad r5, r0, r2, r5",
    "smlad r7, r0, r3, r7",
    "sxtb16 r2, r2",
    "sxtb16 r3, r3",
    "smlad r5, r1, r8, r5",
    "smlad r7, r1, r9, r7",
    "smlad r4, r0, r2, r4",
    "smlad r6, r0, r3, r6",
    "sxtb16 r8, r8",
    "sxtb16 r9, r9",
    "smlad r4, r1, r8, r4",
    "smlad r6, r1, r9, r6",
)
_TAIL_STEP = (
    "ldrd r0, r1, [r12], #8",
    "ldrd r2, r3, [lr], #8",
    "smlad r5, r0, r2, r5",
    "smlad r5, r1, r3, r5",
    "sxtb16 r2, r2",
    "sxtb16 r3, r3",
    "smlad r4, r0, r2, r4",
    "smlad r4, r1, r3, r4",
)


def dot_name(relu: bool, tail: int) -> str:
    """Return the routine's C name; `tail` is the number of outputs modulo 4."""
    return f"tf_dot{'_relu' if relu else ''}_t{tail}_s8"


def dot_entry(depth: int) -> int:
    """Return the byte offset into the unrolled loop at which `depth` (a multiple of 4) values are started."""
    return (-(depth // 4) % STEPS) * STEP_BYTES


def dot(relu: bool, tail: int) -> Routine:
    """Return `name(x, weights, out, shape)`: x [depth] int16 in packed order, output [channels] int8."""
    name, requantize = dot_name(relu, tail), Requantize(relu)
    prototype = f"void {name}(const int16_t *x, const uint32_t *weights, int8_t *out, const tf_gemm_shape *shape)"
    body = (
        "ldm r3, {r5, r6, r7, r8}",
        f"str r8, [sp, #{_OFFSET}]",
        "mov r10, r2",
        "add r11, r0, r5",
        "add r2, r2, r7",
        "adr r5, 2f",
        "add r5, r5, r6",
        "orr r5, r5, #1",
        f"str r0, [sp, #{_X}]",
        f"strd r5, r2, [sp, #{_ENTRY}]",
        "mov lr, r1",
        "cmp r10, r2",
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
        f"ldr pc, [sp, #{_ENTRY}]",
        ".balign 4",
        "2:",
        *(_STEP * STEPS),
        "cmp r12, r11",
        "bne 2b",
        *_split(4, 5),
        *_split(6, 7),
        *_stores(requantize, 4),
        f"ldr r0, [sp, #{_OUT_END}]",
        "cmp r10, r0",
        "bne 1b",
    )


def _pair(requantize: Requantize, label: str, stores: int) -> tuple[str, ...]:
    return (
        f"ldr r12, [sp, #{_X}]",
        "ldm lr!, {r4, r5}",
        f"{label}:",
        *_TAIL_STEP,
        "cmp r12, r11",
        f"bne {label}b",
        *_split(4, 5),
        *_stores(requantize, stores),
    )


def _split(low: int, high: int) -> tuple[str, ...]:
    return f"sub r{high}, r{high}, r{low}", f"asr r{high}, r{high}, #7", f"lsl r{low}, r{low}, #1"


def _stores(requantize: Requantize, channels: int) -> tuple[str, ...]:
    code = [f"ldr r2, [sp, #{_OFFSET}]", "ldm lr!, {r0, r1}"]
    for channel in range(channels):
        if channel:
            code += ["ldr r1, [lr], #4", "lsr r0, r0, #8"]
        register = f"r{4 + channel}"
        code += [*requantize.lines((register,), "r1", "r0", "r2"), f"strb {register}, [r10], #1"]
    return tuple(code)
