"""Depthwise convolution of one channel held as a padded int16 plane: routines made for a layer.

Neighboring taps of a filter row are multiplied in pairs (SMLAD); for the outputs of odd columns the pairs start one
tap later, so that every load of the plane is an aligned word. Filters of width 3 stay in registers, wider ones are
read again from the stack for every tile of outputs; the tile is the widest that fits the registers. Where columns are
dilated, a row of the plane holds every so manyth column together (a phase), so that a filter's taps are neighbors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count, repeat

from services.compiler.kernels.thumb2.assembly import CACHE_LINE_BYTES, Routine
from services.compiler.kernels.thumb2.depthwise_shape import (
    RESIDENT,
    SLOT_ADDEND,
    SLOT_BIAS,
    SLOT_MULTIPLIER,
    SLOT_NEXT_OUT,
    SLOT_PHASES,
    SLOT_ROW_END,
    SLOT_ROWS,
    TAPS_BESIDE,
    DepthwiseShape,
)
from services.compiler.kernels.thumb2.depthwise_tile import FILTER_ROWS, Tile, make_tile
from services.compiler.kernels.thumb2.requantize import RIGHT_SHIFT_BITS, offset

# registers for the values of one filter row while they are paired, where the filter does not stay in registers
_TAPS = ("r0", "r1", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "lr")
_MAX_ADDEND = 4095
_MAX_PHASES = 255
_MOST_TILE_LINES = 205

# loads of weights of four bits and their bytes, the largest first: none reaches beyond the row
_PACKED_LOADS = (("ldr", 4), ("ldrh", 2), ("ldrb", 1))
# the labels of the loop over output rows, and of the one that unpacks the filter's rows
OUTPUT_ROWS = "1"
_UNPACK = "3"


@dataclass(frozen=True, slots=True)
class RunLabels:
    """Labels of the loops of a row's outputs: over phases, tiles, and the filter's rows in a small routine's tiles."""

    phases: str
    tiles: str
    rows: str
    last_rows: str


_RUN_LABELS = RunLabels("6", "2", FILTER_ROWS, "5"), RunLabels("7", "8", "9", "10")


def plane_width(out_w: int, kernel_w: int, stride_w: int, inside: int = 0, phases: int = 1) -> int:
    """Return the plane's width: the columns that the outputs read, and those up to `inside`, where the image ends.

    Every phase of them is made even so that it begins with a word.
    """
    width = max((-(-out_w // phases) - 1) * stride_w + kernel_w, -(-inside // phases))
    return phases * (width + width % 2)


@lru_cache(maxsize=4096)  # shapes that one search meets again and again
def supported(shape: DepthwiseShape) -> bool:
    """Whether the filter is one to ten wide, fits a tile, and all of its rows lie within what one addition moves.

    Dilated columns ask for a stride of 1 along the row, in which neighbors of a phase are neighbors of the image's.
    """
    kernel_h, kernel_w = shape.kernel_hw
    if not 1 <= kernel_w <= len(_TAPS) or (shape.rolled and kernel_h * shape.tap_row_bytes > _MAX_ADDEND):
        return False
    if shape.no_right_shift and _left_shift(shape) is None:
        return False
    if shape.phases > 1 and (shape.stride_hw[1] > 1 or shape.phases > _MAX_PHASES):
        return False
    steps = shape.row_bytes + 2 * shape.stride_hw[1], abs(shape.next_row_bytes), shape.out_step
    return max(steps) <= _MAX_ADDEND and make_tile(shape, 1) is not None


def depthwise(name: str, shape: DepthwiseShape) -> Routine:
    """Return `name(plane, out, channel, rows)`: `rows` output rows of one channel from row 0 of the plane.

    `channel` is the multiplier and the doubled bias (int32 each, at any address), the right shift less 1 (of a shape
    without a right shift the shift, and above its five bits the left shift of the filter), then the filter by rows.
    """
    filter_words = 0 if shape.resident else shape.kernel_hw[0] * len(shape.pairs)
    frame = (shape.pairs_at + 4 * filter_words + 7) // 8 * 8
    body = (
        "mov r10, r0",
        "mov r11, r1",
        f"str r3, [sp, #{SLOT_ROWS}]",
        "ldr r0, [r2], #4",
        "ldr r1, [r2], #4",
        "ldrb r3, [r2], #1",
        *((f"lsr {_left_shift(shape)}, r3, #{RIGHT_SHIFT_BITS}", "and r3, r3, #31") if shape.no_right_shift else ()),
        f"strd r0, r3, [sp, #{SLOT_MULTIPLIER}]",
        f"str r1, [sp, #{SLOT_BIAS}]",
        *_addend(shape),
        *_unpack_filter(shape),
        f"{OUTPUT_ROWS}:",
        *(_phased_row(shape) if shape.phases > 1 else _run(shape, shape.out_w, _RUN_LABELS[0])),
        *_advance("r10", shape.next_row_bytes),
        *_advance("r11", shape.gap),
        *_count_down(SLOT_ROWS, OUTPUT_ROWS),
    )
    prototype = f"void {name}(const int16_t *plane, int8_t *out, const int8_t *channel, int32_t rows)"
    return Routine(name, prototype, body, frame, loops=_loops(shape), align_bytes=CACHE_LINE_BYTES)


def _loops(shape: DepthwiseShape) -> tuple[tuple[str, int], ...]:
    """Return how often the loops within a row and before the first one run, by their labels."""
    kernel_h = shape.kernel_hw[0]
    found = {_UNPACK: kernel_h}
    for (phases, outputs), labels in zip(shape.runs, _RUN_LABELS, strict=False):
        found |= {labels.phases: phases, labels.rows: kernel_h, labels.last_rows: kernel_h}
        found[labels.tiles] = _tiles(shape, outputs)[1]
    return tuple(found.items())


def _phased_row(shape: DepthwiseShape) -> Iterator[str]:
    """Yield the code of an output row, phase by phase: two runs where the last phases have an output less."""
    phase_bytes, done = shape.row_bytes // shape.phases, 0
    yield f"str r11, [sp, #{SLOT_NEXT_OUT}]"
    for (phases, outputs), labels in zip(shape.runs, _RUN_LABELS, strict=False):
        if phases > 1:
            yield from (f"mov r0, #{phases}", f"str r0, [sp, #{SLOT_PHASES}]", f"{labels.phases}:")
        yield f"ldr r11, [sp, #{SLOT_NEXT_OUT}]"
        yield f"add r0, r11, #{shape.channels}"
        yield f"str r0, [sp, #{SLOT_NEXT_OUT}]"
        yield from _run(shape, outputs, labels)
        yield from _advance("r10", phase_bytes - 2 * outputs)
        if phases > 1:
            yield from _count_down(SLOT_PHASES, labels.phases)
        done += phases
    behind = (done - 1) * shape.channels + shape.runs[-1][1] * shape.out_step
    yield from _advance("r11", shape.out_w * shape.channels - behind)


def _advance(register: str, distance: int) -> tuple[str, ...]:
    if distance == 0:
        return ()
    if distance > _MAX_ADDEND:
        return f"movw r0, #{distance}", f"add {register}, {register}, r0"
    return (f"{'add' if distance > 0 else 'sub'} {register}, {register}, #{abs(distance)}",)


def _count_down(slot: int, label: str) -> tuple[str, ...]:
    return f"ldr r0, [sp, #{slot}]", "subs r0, r0, #1", f"str r0, [sp, #{slot}]", f"bne {label}b"


def _addend(shape: DepthwiseShape) -> tuple[str, ...]:
    if not shape.relu:
        return ()
    value = offset(shape.zero_point)
    load = f"mov r0, #{value}" if value >= 0 else f"mvn r0, #{-value - 1}"
    halved = ("asr r0, r0, #1",) if shape.no_right_shift else ()
    return load, "lsl r0, r0, r3", *halved, f"str r0, [sp, #{SLOT_ADDEND}]"


@lru_cache(maxsize=16)  # a routine asks for its loops and for its code
def _tiles(shape: DepthwiseShape, width: int) -> tuple[Tile, int, Tile | None]:
    """Return for so many outputs the tile to repeat, how often, and the tile for what is left: the fewest
    instructions of those whose code leaves room in an instruction cache of 1 KiB; in a small routine, the least code.
    """
    choices = []
    for outputs in range(1, min(4, width) + 1):
        tile, left = make_tile(shape, outputs), width % outputs
        last = make_tile(shape, left) if left else None
        # a tile that begins at an odd column would load double words from an address that faults
        uneven = outputs < width and outputs * shape.stride_hw[1] % 2 != 0
        if tile is None or (left and last is None) or uneven:
            continue
        repeats = width // outputs
        loop = 3 * repeats if repeats > 1 else 0
        once = len(last.lines()) if last else 0
        each = len(tile.lines())
        size = each + once
        bad = size if shape.small else size > _MOST_TILE_LINES
        choices.append((bad, repeats * each + loop + once, outputs, tile, last))
    _, _, outputs, tile, last = min(choices, key=lambda choice: choice[:3])
    return tile, width // outputs, last


def _run(shape: DepthwiseShape, outputs: int, labels: RunLabels) -> tuple[str, ...]:
    """Return the code of so many outputs of a row or of one of its phases."""
    tile, repeats, last = _tiles(shape, outputs)
    body = tile.lines(labels.rows)
    if repeats > 1:
        advance = 2 * tile.outputs * shape.stride_hw[1] * repeats
        body = (
            f"add r0, r10, #{advance}",
            f"str r0, [sp, #{SLOT_ROW_END}]",
            f"{labels.tiles}:",
            *body,
            f"ldr r0, [sp, #{SLOT_ROW_END}]",
            "cmp r10, r0",
            f"bne {labels.tiles}b",
        )
    return (*body, *(last.lines(labels.last_rows) if last else ()))


def _unpack_filter(shape: DepthwiseShape) -> list[str]:
    """Return the code that makes doubled int16 pairs of the int8 filter at r2, in registers or on the stack."""
    kernel_h, kernel_w = shape.kernel_hw
    if shape.resident:
        targets = iter(RESIDENT)
        return [line for _ in range(kernel_h) for line in _unpack_row(shape, TAPS_BESIDE, targets, iter(()))]
    if kernel_w < len(_TAPS):  # a loop, for which lr is free
        pairs = [f"str r12, [lr, #{4 * number}]" for number in range(len(shape.pairs))]
        return [
            f"add lr, sp, #{shape.pairs_at}",
            f"{_UNPACK}:",
            *_unpack_row(shape, _TAPS, repeat("r12"), iter(pairs)),
            f"add lr, lr, #{4 * len(shape.pairs)}",
            f"add r0, sp, #{shape.pairs_at + 4 * kernel_h * len(shape.pairs)}",
            "cmp lr, r0",
            f"bne {_UNPACK}b",
        ]
    stores = (f"str r12, [sp, #{shape.pairs_at + 4 * number}]" for number in count())
    return [line for _ in range(kernel_h) for line in _unpack_row(shape, _TAPS, repeat("r12"), stores)]


def _unpack_row(
    shape: DepthwiseShape, taps: tuple[str, ...], targets: Iterator[str], stores: Iterator[str]
) -> Iterator[str]:
    """Yield the code of a filter row: every pair of taps in its target, then stored unless it stays there."""
    taps = taps[: shape.kernel_hw[1]]
    yield from _load_taps(taps, shape.weight_bits)
    if shape.no_right_shift:
        yield from (f"lsl {tap}, {tap}, {_left_shift(shape)}" for tap in taps)
    for first, second in shape.pairs:
        target = next(targets)
        yield f"pkhbt {target}, {taps[first]}, {taps[second]}, lsl #16"
        yield f"sadd16 {target}, {target}, {target}"
        if (store := next(stores, None)) is not None:
            yield store


def _left_shift(shape: DepthwiseShape) -> str | None:
    """Return the register that holds a channel's left shift while its filter is unpacked; None if none is left."""
    width = shape.kernel_hw[1]
    if shape.resident:
        return TAPS_BESIDE[-1] if width < len(TAPS_BESIDE) else None
    return _TAPS[-2] if width <= len(_TAPS) - 2 else None  # the last is the loop's


def _load_taps(registers: tuple[str, ...], bits: int) -> Iterator[str]:
    """Yield the code that loads a filter row's taps, sign-extended; r2 advances to the next row."""
    if bits == 8:
        yield from (f"ldrsb {r}, [r2], #1" for r in registers)
        return
    while registers:
        load, step = next(one for one in _PACKED_LOADS if one[1] <= -(-len(registers) // 2))
        some, registers = registers[: 2 * step], registers[2 * step :]
        yield f"{load} {some[-1]}, [r2], #{step}"
        yield from (f"sbfx {r}, {some[-1]}, #{4 * number}, #4" for number, r in enumerate(some))
