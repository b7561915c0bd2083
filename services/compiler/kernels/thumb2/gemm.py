"""Matrix multiplication of pairs of pixels with four channels at a time: the inner loop of every convolution.

Two channels share the halfwords of a weight word: w = 256 * high + low for two k. SMLAD with the raw word sums
256 * H + L, SMLAD with its sign-extended low bytes (SXTB16) sums L, and the difference gives H exactly as long as
|H| < 2^23: half the unpacking of a plain SXTB16 pair, 12 instructions for 16 multiply-accumulates.
The pixels come as int16 in the order the weights are packed in (see `pack.py`), interleaved pairwise.
Groups of channels are the outer loop and pairs of pixels the inner one, so that a group's weights are used for a
whole block of pixels while the code in use fits the 1 KiB instruction cache of an STM32L4. A group larger than its
data cache of 256 bytes would be fetched from flash again for every pair: such groups are first copied to RAM.
Weights of four bits are unpacked on the way (see `staging.py`).
"""

from __future__ import annotations

from services.compiler.kernels.thumb2.assembly import SAVED_BYTES, Routine
from services.compiler.kernels.thumb2.issue import Issue
from services.compiler.kernels.thumb2.pipelined import entry_lines, loop_lines
from services.compiler.kernels.thumb2.requantize import Requantize
from services.compiler.kernels.thumb2.staging import copy_group, unpack_group

# steps (of 2 k each) in the unrolled loop: 384 bytes
STEPS, SMALL_STEPS = 8, 2
STEP_BYTES = 48
# the stack frame: the group's outputs of the first pair, the pair's outputs, next x and the end of all x, the start
# of x, the group's start and the end of its weights, the entry into the loop, the end of the first outputs, the
# requantization offset, the outputs' step from pair to pair, bytes of a pair's x, where groups are copied to, the
# next group
_OUT, _PAIR_OUT, _X, _X_END, _X_START, _GROUP, _WEIGHTS_END = 0, 8, 16, 20, 24, 28, 32
_ENTRY, _OUT_END, _OFFSET, _OUT_STEP, _X_BYTES, _STAGE, _NEXT = 36, 40, 44, 48, 52, 56, 60
_FRAME = 64
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
    "ldr r2, [lr], #4",
    "ldrd r0, r1, [r12], #8",
    "smlad r5, r0, r2, r5",
    "smlad r9, r1, r2, r9",
    "sxtb16 r2, r2",
    "smlad r4, r0, r2, r4",
    "smlad r8, r1, r2, r8",
)


def gemm_name(relu: bool, tail: int, bits: int, steps: int = STEPS) -> str:
    """Return the routine's C name; `tail` is the number of output channels modulo 4, `bits` those of a weight."""
    return f"tf_gemm{'_relu' if relu else ''}_t{tail}_s{bits}{'' if steps == STEPS else f'_u{steps}'}"


def gemm_entry(depth: int, steps: int = STEPS) -> int:
    """Return the byte offset into the unrolled loop at which `depth` (a multiple of 4) values are started."""
    return (-(depth // 2) % steps) * STEP_BYTES


def gemm(relu: bool, tail: int, bits: int = 8, issue: Issue = Issue.SINGLE, steps: int = STEPS) -> Routine:
    """Return `name(x, weights, out0, out1, shape, pairs)`; x [pairs][depth/2][2 pixels][2] int16.

    Outputs are [channels] int8 at out0 and out1, then at the same two advanced by shape's `out_step` for every
    further pair. `pairs` is at least 1. Where shape's `stage` is not 0, several pairs use a copy of each group, that
    many bytes behind the start of x. Weights of four bits always need the stage. `steps` are unrolled.
    """
    name = gemm_name(relu, tail, bits, steps)
    requantize = Requantize(relu)
    prototype = (
        f"void {name}(const int16_t *x, const uint32_t *weights, int8_t *out0, int8_t *out1, "
        "const tf_gemm_shape *shape, int32_t pairs)"
    )
    body = (
        f"strd r2, r3, [sp, #{_OUT}]",
        f"ldrd r4, r9, [sp, #{_FRAME + SAVED_BYTES}]",
        "ldm r4, {r4, r5, r6, r7, r8, r10}",
        f"strd r7, r8, [sp, #{_OFFSET}]",
        *(("cmp r9, #1", "bne 8f", "mov r10, #0", "8:") if bits == 8 else ()),
        f"strd r4, r10, [sp, #{_X_BYTES}]",
        f"str r0, [sp, #{_X_START}]",
        "mla r9, r9, r4, r0",
        f"str r9, [sp, #{_X_END}]",
        *(entry_lines(steps) if issue is Issue.DUAL else ()),
        "adr r7, 3f",
        "add r5, r5, r7",
        "orr r5, r5, #1",
        "add r6, r2, r6",
        f"strd r5, r6, [sp, #{_ENTRY}]",
        "mov lr, r1",
        "cmp r2, r6",
        "beq 9f",
        "1:",
        *_start_group(4, bits, "10"),
        "2:",
        "ldm lr!, {r4-r7}",
        "mov r8, r4",
        "mov r9, r5",
        "mov r10, r6",
        "mov r11, r7",
        *_steps(issue, steps),
        f"str r12, [sp, #{_X}]",
        *(line for low, high in ((4, 5), (6, 7), (8, 9), (10, 11)) for line in _split(low, high)),
        *_stores(requantize, 4),
        *_next_pair("2"),
        f"ldr r0, [sp, #{_OUT_END}]",
        *_next_group(4),
        "cmp r2, r0",
        "bne 1b",
        "9:",
        *_tail(requantize, TAIL_STORES[tail], bits),
    )
    return Routine(name, prototype, body, _FRAME, disjoint=True)


def _steps(issue: Issue, steps: int) -> tuple[str, ...]:
    """Return the loop over the depth, entered where the steps left are as many as it asks for."""
    if issue is Issue.DUAL:
        return loop_lines("3", steps, _ENTRY, _WEIGHTS_END)
    return (
        f"ldr pc, [sp, #{_ENTRY}]",
        ".balign 4",
        "3:",
        *(_STEP * steps),
        f"ldr r0, [sp, #{_WEIGHTS_END}]",
        "cmp lr, r0",
        "bne 3b",
    )


def _tail(requantize: Requantize, stores: tuple[int, ...], bits: int) -> tuple[str, ...]:
    labels = zip((4, 6), stores, strict=False)
    return tuple(line for label, count in labels for line in _pair(requantize, label, count, bits))


def _pair(requantize: Requantize, label: int, stores: int, bits: int) -> tuple[str, ...]:
    """Return the code of one or two last channels."""
    return (
        *_start_group(stores, bits, f"1{label}"),
        f"{label}:",
        "ldm lr!, {r4, r5}",
        "mov r8, r4",
        "mov r9, r5",
        f"{label + 1}:",
        *(_TAIL_STEP * 2),
        f"ldr r0, [sp, #{_WEIGHTS_END}]",
        "cmp lr, r0",
        f"bne {label + 1}b",
        f"str r12, [sp, #{_X}]",
        *(line for low, high in ((4, 5), (8, 9)) for line in _split(low, high)),
        *_stores(requantize, stores),
        *_next_pair(str(label)),
        *_next_group(stores),
    )


def _start_group(channels: int, bits: int, label: str) -> tuple[str, ...]:
    """Return the code that takes a group's weights at lr: where it and the next begin, its copy, the first outputs.

    After it lr is where the group's weights are read from.
    """
    halved = (channels < 4) + (bits == 4)
    code: tuple[str, ...] = (
        f"ldr r0, [sp, #{_X_BYTES}]",
        f"add r0, lr, r0, {f'lsr #{halved}' if halved else 'lsl #0'}",
        f"add r0, r0, #{_starts_bytes(channels)}",
        f"add r1, r0, #{4 + 4 * channels}",
        f"str r1, [sp, #{_NEXT}]",
    )
    if bits == 4:
        code += _staged(channels, unpack_group(label, channels))
    elif channels == 4:
        copy = _staged(channels, copy_group(label))
        code += f"ldr r2, [sp, #{_STAGE}]", "cmp r2, #0", "beq 8f", *copy, "8:"
    if bits == 8:
        code += (f"strd lr, r0, [sp, #{_GROUP}]",)
    return (
        *code,
        f"ldrd r2, r3, [sp, #{_OUT}]",
        f"strd r2, r3, [sp, #{_PAIR_OUT}]",
        f"ldr r12, [sp, #{_X_START}]",
    )


def _staged(channels: int, bring: tuple[str, ...]) -> tuple[str, ...]:
    """Return the code that brings a group to its stage, and lr and r0 to its start and the end of its weights."""
    return (
        f"ldrd r3, r2, [sp, #{_X_BYTES}]",
        f"ldr r4, [sp, #{_X_START}]",
        "add r2, r2, r4",
        f"add r3, r2, r3, {'lsl #0' if channels == 4 else 'lsr #1'}",
        f"add r3, r3, #{_starts_bytes(channels)}",
        f"strd r2, r3, [sp, #{_GROUP}]",
        *bring,
        f"ldrd lr, r0, [sp, #{_GROUP}]",
    )


def _starts_bytes(channels: int) -> int:
    return 16 if channels == 4 else 8


def _next_pair(label: str) -> tuple[str, ...]:
    """Return the code that goes back to `label` with the same weights, or on with lr at the next group."""
    return (
        f"ldr r0, [sp, #{_OUT_STEP}]",
        "add r12, r12, r0",
        "add r3, r3, r0",
        f"strd r12, r3, [sp, #{_PAIR_OUT}]",
        f"ldrd r12, r0, [sp, #{_X}]",
        f"ldr lr, [sp, #{_GROUP}]",
        "cmp r12, r0",
        f"bne {label}b",
        f"ldr lr, [sp, #{_NEXT}]",
    )


def _next_group(channels: int) -> tuple[str, ...]:
    return (
        f"ldrd r2, r3, [sp, #{_OUT}]",
        f"add r2, r2, #{channels}",
        f"add r3, r3, #{channels}",
        f"strd r2, r3, [sp, #{_OUT}]",
    )


def _split(low: int, high: int) -> tuple[str, ...]:
    """Return the doubled sums of both channels: high = (raw - low) / 128, low = 2 * low."""
    return f"sub r{high}, r{high}, r{low}", f"asr r{high}, r{high}, #7", f"lsl r{low}, r{low}, #1"


def _stores(requantize: Requantize, channels: int) -> tuple[str, ...]:
    """Return requantization and stores of some channels of both pixels: first their shifts, one a byte."""
    code = [f"ldrd r12, r3, [sp, #{_PAIR_OUT}]", f"ldr r2, [sp, #{_OFFSET}]", "ldm lr!, {r0, r1}"]
    for channel in range(channels):
        if channel:
            code += ["ldr r1, [lr], #4", "lsr r0, r0, #8"]
        first, second = f"r{4 + channel}", f"r{8 + channel}"
        code += requantize.lines((first, second), "r1", "r0", "r2")
        code += [f"strb {first}, [r12, #{channel}]", f"strb {second}, [r3, #{channel}]"]
    return tuple(code)
