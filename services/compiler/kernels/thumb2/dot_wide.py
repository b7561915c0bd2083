"""One vector of int16 times two channels of int8 weights at a time, with sums of 64 bits: any layer of 16x8.

A word holds two values' weights of both channels, low + 256 * high in a half, so SMLALD sums 256 * high + low without
unpacking; the low channel's weights are taken out by SXTB16. A product of a sum and its multiplier, raised so that at
least 32 bits are shifted out, ends in its upper word: shifted by all but one bit, plus 1, by one bit on saturating.
Sources: TensorFlow Lite, MultiplyByQuantizedMultiplier of int64 (16 bits of the multiplier, rounded once); Armv7-M
Architecture Reference Manual, SMLALD.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.compiler.kernels.thumb2.assembly import Routine
from services.compiler.kernels.thumb2.issue import Issue
from services.compiler.kernels.thumb2.pack import padded_depth
from services.compiler.kernels.thumb2.scheduling import split

# steps (of 4 values each) in the unrolled loop
STEPS = 4
# of sums times multipliers, without the last one; and the bits that all of them lose with an upper word
LEAST_SHIFT, _UPPER = 16, 32
# words of a pair beside its weights: starts of both sums, two multipliers and shifts
_START_WORDS, _END_WORDS = 4, 4
_X, _ENTRY = 0, 4
_FRAME = 8

_STEP = (
    "ldrd r8, r9, [r12], #8",
    "ldrd r10, r11, [r1], #8",
    "smlald r4, r5, r8, r10",
    "smlald r4, r5, r9, r11",
    "sxtb16 r10, r10",
    "sxtb16 r11, r11",
    "smlald r6, r7, r8, r10",
    "smlald r6, r7, r9, r11",
)
# how often a step's instructions of four bytes come, split for a core that issues two
_STEP_BYTES = {Issue.SINGLE: 4 * len(_STEP), Issue.DUAL: 4 * sum(len(split(line)) for line in _STEP)}


def dot_wide_name(relu: bool) -> str:
    """Return the routine's C name."""
    return f"tf_dot_wide{'_relu' if relu else ''}_s16"


def dot_wide(relu: bool, issue: Issue = Issue.SINGLE) -> Routine:
    """Return `name(x, weights, out, x_bytes, channels)`: x [depth] int16, aligned, its end filled with zeros."""
    name = dot_wide_name(relu)
    prototype = f"void {name}(const int16_t *x, const uint32_t *weights, int16_t *out, int32_t x_bytes, int16_t *end)"
    body = (
        # where the unrolled loop is entered
        "lsr r4, r3, #3",
        "rsb r4, r4, #0",
        f"and r4, r4, #{STEPS - 1}",
        f"mov r5, #{_STEP_BYTES[issue]}",
        "mul r4, r4, r5",
        "adr r5, 2f",
        "add r4, r4, r5",
        "orr r4, r4, #1",
        f"str r4, [sp, #{_ENTRY}]",
        f"str r0, [sp, #{_X}]",
        "add lr, r0, r3",
        "ldr r3, [sp, #44]",
        "1:",
        f"ldr r12, [sp, #{_X}]",
        "ldm r1!, {r4, r5, r6, r7}",
        f"ldr pc, [sp, #{_ENTRY}]",
        ".balign 4",
        "2:",
        *(line for step in range(STEPS) for line in ((f"2{step}:",) if step else ()) + _STEP),
        "cmp r12, lr",
        "bne 2b",
        "ldm r1!, {r8, r9, r10, r11}",
        # of 256 * high + low, high
        "subs r4, r4, r6",
        "sbc r5, r5, r7",
        "lsr r4, r4, #8",
        "orr r4, r4, r5, lsl #24",
        "asr r5, r5, #8",
        *_output(relu, "r6", "r7", "r8", "r9"),
        "cmp r2, r3",
        "beq 3f",
        *_output(relu, "r4", "r5", "r10", "r11"),
        "cmp r2, r3",
        "bne 1b",
        "3:",
    )
    return Routine(name, prototype, body, _FRAME, disjoint=True)


def _output(relu: bool, low: str, high: str, multiplier: str, shift: str) -> tuple[str, ...]:
    """Return requantization and store: of a sum's two words the upper one of the product is what counts."""
    return (
        f"umull r0, r12, {low}, {multiplier}",
        f"mla r12, {high}, {multiplier}, r12",
        f"asr r12, r12, {shift}",
        "add r12, r12, #1",
        f"{'usat r12, #15' if relu else 'ssat r12, #16'}, r12, asr #1",
        "strh r12, [r2], #2",
    )


def wide_words(channels: int, depth: int) -> int:
    """Return the number of words of `pack_wide`."""
    return -(-channels // 2) * (padded_depth(depth) // 2 + _START_WORDS + _END_WORDS)


def packs_wide(weights: npt.NDArray[np.int8], bias: npt.NDArray[np.int64], multiplier: npt.NDArray[np.int64],
               shift: npt.NDArray[np.int64]) -> bool:  # fmt: skip
    """Whether the routine is exact: halves hold both channels' weights, and no result leaves 31 bits.

    `weights` is [channels, depth], the others [channels]; multipliers have 16 bits, `shift` counts to the right.
    """
    held = not bool((weights[1::2] == -128).any())
    return held and _ends_exactly(weights, bias, multiplier, shift)


def _ends_exactly(weights: npt.NDArray[np.int8], bias: npt.NDArray[np.int64], multiplier: npt.NDArray[np.int64],
                  shift: npt.NDArray[np.int64]) -> bool:  # fmt: skip
    largest = 32768 * np.abs(weights.astype(np.int64)).sum(axis=1) + np.abs(bias)
    # as floats: a bound that need not be sharp
    results = largest.astype(np.float64) * multiplier / 2.0**shift
    in_range = bool((np.abs(bias) < 1 << 47).all()) and bool((shift > LEAST_SHIFT).all())
    return in_range and bool((results < 1 << 30).all())


def packs_wide_depthwise(weights: npt.NDArray[np.int8], bias: npt.NDArray[np.int64], multiplier: npt.NDArray[np.int64],
                         shift: npt.NDArray[np.int64]) -> bool:  # fmt: skip
    """Whether the depthwise kernel is exact, too, whose sums have 32 bits before the bias is added."""
    fits = bool((np.abs(weights.astype(np.int64)).sum(axis=1) < 1 << 16).all())
    return fits and _ends_exactly(weights, bias, multiplier, shift)


def pack_wide(weights: npt.NDArray[np.int8], bias: npt.NDArray[np.int64], multiplier: npt.NDArray[np.int64],
              shift: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:  # fmt: skip
    """Return the stream of the routine: for every pair of channels the starts of its sums, 256 * high + low and low,
    its weights by value, and for each channel a multiplier and the shift of its product's upper word.
    """
    held, starts = _paired(weights, padded_depth(weights.shape[1])), _paired(bias[:, None], 1)
    words = (held[0::2] + 256 * held[1::2]).astype(np.int16).view(np.uint32)
    sums = np.concatenate((starts[0::2] + 256 * starts[1::2], starts[0::2]), axis=1).view(np.uint32)
    ends = _paired(_ends(multiplier, shift), 2).astype(np.uint32).reshape(-1, 4)
    return np.concatenate((sums, words, ends), axis=1).ravel()


def wide_depthwise_words(channels: int, taps: int) -> int:
    """Return the number of words of `pack_wide_depthwise`."""
    return -(-channels // 2) * (taps + 8)


def pack_wide_depthwise(weights: npt.NDArray[np.int8], bias: npt.NDArray[np.int64], multiplier: npt.NDArray[np.int64],
                        shift: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:  # fmt: skip
    """Return the depthwise kernel's records, one a pair of channels: a word of both weights by tap, and for each
    channel the bias in two words, a multiplier and the shift of its product's upper word.
    """
    held = _paired(weights, weights.shape[1])
    words = ((held[1::2] << 16) | (held[0::2] & 0xFFFF)).astype(np.uint32)
    biases = _paired(bias[:, None], 1).view(np.uint32)
    ends = np.concatenate((biases, _paired(_ends(multiplier, shift), 2).astype(np.uint32)), axis=1)
    return np.concatenate((words, ends.reshape(-1, 8)), axis=1).ravel()


def _paired(values: npt.NDArray[np.generic], columns: int) -> npt.NDArray[np.int64]:
    """Return rows [channels, columns or less] with zeros to an even number of rows, and to so many columns."""
    held = np.zeros((-(-len(values) // 2) * 2, columns), np.int64)
    held[: len(values), : values.shape[1]] = values
    return held


def _ends(multiplier: npt.NDArray[np.int64], shift: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return multipliers, raised so that at least 32 bits of a product are shifted out, and what else is."""
    raised = np.clip(_UPPER + 1 - shift, 0, None)
    return np.stack((multiplier << raised, shift + raised - _UPPER - 1), axis=1)
