"""Matrix multiplication of one vector with four channels at a time: fully connected layers.

Every weight is used once, so weights of four bits are unpacked in registers, each 8 too large (see `staging.py`); what
that adds to the sums is the same for all channels and is taken off where they start.
"""

from __future__ import annotations

from services.compiler.kernels.thumb2.assembly import Routine
from services.compiler.kernels.thumb2.gemm import TAIL_STORES
from services.compiler.kernels.thumb2.issue import Issue
from services.compiler.kernels.thumb2.requantize import Requantize
from services.compiler.kernels.thumb2.scheduling import split
from services.compiler.kernels.thumb2.staging import LOW_NIBBLES

# steps (of 4 k each) in the unrolled loop
STEPS = 4
_X, _ENTRY, _OUT_END, _OFFSET, _OUT, _EIGHTS = 0, 4, 8, 12, 16, 20
_FRAME = 24

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
_PACKED_STEP = (
    "ldrd r0, r1, [r12], #8",
    "ldrd r2, r8, [lr], #8",
    "and r3, r10, r2, lsr #4",
    "and r9, r10, r8, lsr #4",
    "and r2, r2, r10",
    "and r8, r8, r10",
    *_STEP[2:],
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
_PACKED_TAIL_STEP = (
    "ldrd r0, r1, [r12], #8",
    "ldr r2, [lr], #4",
    "and r3, r10, r2, lsr #4",
    "and r2, r2, r10",
    *_TAIL_STEP[2:],
)


def dot_name(relu: bool, tail: int, bits: int) -> str:
    """Return the routine's C name; `tail` is the number of outputs modulo 4, `bits` those of a weight."""
    return f"tf_dot{'_relu' if relu else ''}_t{tail}_s{bits}"


def dot_entry(depth: int, bits: int) -> int:
    """Return the byte offset into the unrolled loop at which `depth` (a multiple of 4) values are started."""
    return (-(depth // 4) % STEPS) * 4 * len(_step(bits))


def dot(relu: bool, tail: int, bits: int = 8, issue: Issue = Issue.SINGLE) -> Routine:
    """Return `name(x, weights, out, shape)`: x [depth] int16 in packed order, output [channels] int8."""
    name, requantize = dot_name(relu, tail, bits), Requantize(relu)
    prototype = f"void {name}(const int16_t *x, const uint32_t *weights, int8_t *out, const tf_gemm_shape *shape)"
    body = (
        "ldm r3, {r5, r6, r7, r8}",
        f"str r8, [sp, #{_OFFSET}]",
        *((f"str r2, [sp, #{_OUT}]",) if bits == 4 else ()),
        "mov r10, r2",
        *(_entry_lines(bits) if issue is Issue.DUAL else ()),
        "add r11, r0, r5",
        "add r2, r2, r7",
        "adr r5, 2f",
        "add r5, r5, r6",
        "orr r5, r5, #1",
        f"str r0, [sp, #{_X}]",
        f"strd r5, r2, [sp, #{_ENTRY}]",
        "mov lr, r1",
        *(_sum_eights() if bits == 4 else ()),
        "cmp r10, r2",
        "beq 9f",
        *_quad(requantize, bits),
        "9:",
        *_tail(requantize, TAIL_STORES[tail], bits),
    )
    return Routine(name, prototype, body, _FRAME, disjoint=True)


def _entry_lines(bits: int) -> tuple[str, ...]:
    """Return the code that makes of r5, the bytes of x, the entry of a loop whose loads are split, in r6."""
    return (
        "lsr r6, r5, #3",
        "rsb r6, r6, #0",
        f"and r6, r6, #{STEPS - 1}",
        f"mov r8, #{4 * sum(len(split(line)) for line in _step(bits))}",
        "mul r6, r6, r8",
    )


def _step(bits: int) -> tuple[str, ...]:
    return _STEP if bits == 8 else _PACKED_STEP


def _sum_eights() -> tuple[str, ...]:
    """Return the code that keeps -8 times the sum of x from r0 to r11, what weights 8 too large add to a sum."""
    return (
        f"mvn r6, #{0x00070007}",  # -8 twice
        "mov r4, #0",
        "5:",
        "ldrd r7, r8, [r0], #8",
        "smlad r4, r7, r6, r4",
        "smlad r4, r8, r6, r4",
        "cmp r0, r11",
        "bne 5b",
        f"str r4, [sp, #{_EIGHTS}]",
    )


def _tail(requantize: Requantize, stores: tuple[int, ...], bits: int) -> tuple[str, ...]:
    labels = zip("34", stores, strict=False)
    return tuple(line for label, count in labels for line in _pair(requantize, label, count, bits))


def _quad(requantize: Requantize, bits: int) -> tuple[str, ...]:
    return (
        "1:",
        f"ldr r12, [sp, #{_X}]",
        "ldm lr!, {r4-r7}",
        *(_take_off_eights(4, 6) if bits == 4 else ()),
        f"ldr pc, [sp, #{_ENTRY}]",
        ".balign 4",
        "2:",
        *(line for step in range(STEPS) for line in ((f"2{step}:",) if step else ()) + _step(bits)),
        "cmp r12, r11",
        "bne 2b",
        *_split(4, 5),
        *_split(6, 7),
        *_stores(requantize, 4, bits),
        f"ldr r0, [sp, #{_OUT_END}]",
        "cmp r10, r0",
        "bne 1b",
    )


def _pair(requantize: Requantize, label: str, stores: int, bits: int) -> tuple[str, ...]:
    return (
        f"ldr r12, [sp, #{_X}]",
        "ldm lr!, {r4, r5}",
        *(_take_off_eights(4) if bits == 4 else ()),
        f"{label}:",
        *(_TAIL_STEP if bits == 8 else _PACKED_TAIL_STEP),
        "cmp r12, r11",
        f"bne {label}b",
        *_split(4, 5),
        *_stores(requantize, stores, bits),
    )


def _take_off_eights(*lows: int) -> tuple[str, ...]:
    """Return the code that corrects pairs of sums, low and 256 * high + low, and loads the mask of nibbles."""
    code: tuple[str, ...] = (f"ldr r0, [sp, #{_EIGHTS}]", "add r1, r0, r0, lsl #8", f"mov r10, #{LOW_NIBBLES}")
    for low in lows:
        code += f"add r{low}, r{low}, r0", f"add r{low + 1}, r{low + 1}, r1"
    return code


def _split(low: int, high: int) -> tuple[str, ...]:
    return f"sub r{high}, r{high}, r{low}", f"asr r{high}, r{high}, #7", f"lsl r{low}, r{low}, #1"


def _stores(requantize: Requantize, channels: int, bits: int) -> tuple[str, ...]:
    """Return requantization and stores; weights of four bits need r10 for their mask in between."""
    code = [f"ldr r10, [sp, #{_OUT}]"] if bits == 4 else []
    code += [f"ldr r2, [sp, #{_OFFSET}]", "ldm lr!, {r0, r1}"]
    for channel in range(channels):
        if channel:
            code += ["ldr r1, [lr], #4", "lsr r0, r0, #8"]
        register = f"r{4 + channel}"
        code += [*requantize.lines((register,), "r1", "r0", "r2"), f"strb {register}, [r10], #1"]
    return (*code, f"str r10, [sp, #{_OUT}]") if bits == 4 else tuple(code)
