"""Depthwise convolution of one channel held as a padded plane of bytes: routines made for a layer's rows.

The plane holds x + 128, so that LDRB with an offset reads a value in two cycles; the record's bias makes up for it. A
tile of up to six neighboring outputs keeps its sums in r8 to r12 and lr. Every value is loaded once for all the taps
of a filter row that it meets. The filter lies on the stack as words, which LDM brings up to four at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.compiler.kernels.thumb1.assembly import low_routine
from services.compiler.kernels.thumb1.requantize import channel_constants, requantize, rounding_constant
from services.compiler.kernels.thumb2.assembly import SAVED_BYTES, Routine

# the stack frame: start of the tile in the plane, rows left, next row's start, step from row to row of the plane,
# step from output row to output row in the plane, tiles left, tiles of a row, output step, filter's end, bias,
# multiplier, shift, 2 * zero point + 1, offset, rounding constant, output, then the filter
_X, _ROWS, _ROW, _KERNEL_STEP, _ROW_STEP, _LEFT, _TILES, _STEP, _FILTER_END, _BIAS = range(0, 40, 4)
_MULTIPLIER, _SHIFT, _ZERO, _OFFSET, _ROUNDING, _OUT, _FILTER = range(40, 68, 4)
_SUMS = ("r8", "r9", "r10", "r11", "r12", "lr")
_WEIGHTS = ("r2", "r3", "r4", "r5")
_MAX_TAPS = 100
_MAX_LOAD_OFFSET = 31
_MAX_IMMEDIATE = 255
# bytes of a loop's products that a conditional branch reaches back over
_NEAR = 236


@dataclass(frozen=True, slots=True)
class DepthwiseRow:
    """What a routine is made for: filter, column stride and dilation, output width, and whether a ReLU is fused."""

    kernel_hw: tuple[int, int]
    stride: int
    dilation: int
    out_w: int
    relu: bool

    @property
    def tile(self) -> int:
        """Outputs of a tile: as even a share of the row as there are registers for."""
        reach = (_MAX_LOAD_OFFSET - (self.kernel_hw[1] - 1) * self.dilation) // self.stride + 1
        most = min(len(_SUMS), reach)
        return -(-self.out_w // -(-self.out_w // most))

    @property
    def name(self) -> str:
        """The routine's C name."""
        (kernel_h, kernel_w), last = self.kernel_hw, self.out_w % self.tile
        step = f"s{self.stride}" + (f"d{self.dilation}" if self.dilation > 1 else "")
        tiles = f"t{self.tile}" + (f"_{last}" if last else "")
        return f"tf_depthwise_thumb1_{kernel_h}x{kernel_w}_{step}_{tiles}{'_relu' if self.relu else ''}_s8"


def supported(row: DepthwiseRow) -> bool:
    """Whether a routine can be made: values within reach of LDRB, and a filter that the stack frame has room for."""
    kernel_h, kernel_w = row.kernel_hw
    return (kernel_w - 1) * row.dilation <= _MAX_LOAD_OFFSET and kernel_h * kernel_w <= _MAX_TAPS


def depthwise(row: DepthwiseRow) -> Routine:
    """Return `name(plane, out, record, shape, rows)`: one channel of `rows` output rows.

    The record is multiplier, bias, right shift (one byte), filter; see `pack_depthwise`. Loops: 1 filter values,
    2 rows, 3 tiles, 4 and 5 filter rows.
    """
    last = row.out_w % row.tile
    frame = _FILTER + 4 * row.kernel_hw[0] * row.kernel_hw[1]
    prototype = (
        f"void {row.name}(const uint8_t *plane, int8_t *out, const int8_t *record, const tf_depthwise_shape *shape, "
        "int32_t rows)"
    )
    body = (
        *_start(row, frame),
        "2:",
        f"ldr r7, [sp, #{_ROW}]",
        f"str r7, [sp, #{_X}]",
        f"ldr r0, [sp, #{_ROW_STEP}]",
        "adds r0, r0, r7",
        f"str r0, [sp, #{_ROW}]",
        f"ldr r0, [sp, #{_TILES}]",
        "3:",
        f"str r0, [sp, #{_LEFT}]",
        *_tile(row, row.tile, 4),
        f"ldr r0, [sp, #{_LEFT}]",
        "subs r0, r0, #1",
        "beq 6f",
        "b 3b",
        "6:",
        *(_tile(row, last, 5) if last else ()),
        f"ldr r0, [sp, #{_ROWS}]",
        "subs r0, r0, #1",
        f"str r0, [sp, #{_ROWS}]",
        "beq 9f",
        "b 2b",
        "9:",
    )
    return low_routine(row.name, prototype, body, frame)


def _start(row: DepthwiseRow, frame: int) -> tuple[str, ...]:
    taps = row.kernel_hw[0] * row.kernel_hw[1]
    return (
        f"str r0, [sp, #{_ROW}]",
        f"str r1, [sp, #{_OUT}]",
        f"ldr r0, [sp, #{frame + SAVED_BYTES}]",
        f"str r0, [sp, #{_ROWS}]",
        "ldm r3!, {r0, r1, r4, r5, r6}",
        f"str r0, [sp, #{_KERNEL_STEP}]",
        f"str r1, [sp, #{_ROW_STEP}]",
        f"str r4, [sp, #{_TILES}]",
        f"str r5, [sp, #{_STEP}]",
        f"str r6, [sp, #{_ZERO}]",
        "ldm r2!, {r4, r6}",
        f"str r6, [sp, #{_BIAS}]",
        "ldrb r3, [r2]",
        f"str r3, [sp, #{_SHIFT}]",
        f"str r4, [sp, #{_MULTIPLIER}]",
        *channel_constants(row.relu, f"[sp, #{_ZERO}]"),
        f"str r0, [sp, #{_OFFSET}]",
        "mov r3, r2",
        *rounding_constant(row.relu),
        f"str r1, [sp, #{_ROUNDING}]",
        f"add r5, sp, #{_FILTER}",
        "movs r4, #1",
        "1:",
        "ldrsb r0, [r3, r4]",
        "stm r5!, {r0}",
        "adds r4, r4, #1",
        f"cmp r4, #{taps}",
        "bls 1b",
        f"str r5, [sp, #{_FILTER_END}]",
    )


def _tile(row: DepthwiseRow, outputs: int, label: int) -> tuple[str, ...]:
    """Return the code of a tile: sums, then one output after the other; leaves the plane at the next tile."""
    sums = _SUMS[:outputs]
    products = _filter_row(row, sums)
    return (
        f"ldr r7, [sp, #{_X}]",
        f"ldr r0, [sp, #{_BIAS}]",
        f"add r6, sp, #{_FILTER}",
        *(f"mov {register}, r0" for register in sums),
        f"{label}:",
        *products,
        *_next_filter_row(label, near=2 * len(products) < _NEAR),
        *_outputs(row, sums),
    )


def _filter_row(row: DepthwiseRow, sums: tuple[str, ...]) -> list[str]:
    code = []
    kernel_w = row.kernel_hw[1]
    for first in range(0, kernel_w, len(_WEIGHTS)):
        taps = range(first, min(first + len(_WEIGHTS), kernel_w))
        code.append(f"ldm r6!, {{{', '.join(_WEIGHTS[: len(taps)])}}}")
        products: dict[int, list[tuple[str, str]]] = {}
        for number, total in enumerate(sums):
            for tap in taps:
                products.setdefault(number * row.stride + tap * row.dilation, []).append((total, _WEIGHTS[tap - first]))
        for column in sorted(products):
            code += _products(column, products[column])
    return code


def _products(column: int, terms: list[tuple[str, str]]) -> list[str]:
    """Return the code that adds one value, times a weight each, to several sums; the last takes the value itself."""
    code = [f"ldrb r0, [r7, #{column}]"]
    for total, weight in terms[:-1]:
        code += ["mov r1, r0", f"muls r1, {weight}, r1", f"add {total}, r1"]
    total, weight = terms[-1]
    return [*code, f"muls r0, {weight}, r0", f"add {total}, r0"]


def _next_filter_row(label: int, *, near: bool) -> tuple[str, ...]:
    return (
        f"ldr r0, [sp, #{_KERNEL_STEP}]",
        "adds r7, r7, r0",
        f"ldr r0, [sp, #{_FILTER_END}]",
        "cmp r6, r0",
        *((f"bne {label}b",) if near else ("beq 1f", f"b {label}b", "1:")),
    )


def _outputs(row: DepthwiseRow, sums: tuple[str, ...]) -> list[str]:
    code = [f"ldr r4, [sp, #{_X}]", *_advance("r4", len(sums) * row.stride), f"str r4, [sp, #{_X}]"]
    code += [
        f"ldr r4, [sp, #{_MULTIPLIER}]",
        "uxth r5, r4",
        "lsrs r4, r4, #16",
        f"ldr r3, [sp, #{_SHIFT}]",
        f"ldr r6, [sp, #{_OFFSET}]",
        f"ldr r7, [sp, #{_OUT}]",
    ]
    for number, total in enumerate(sums):
        code.append(f"mov r0, {total}")
        if number == 0:  # the first sum's register is free from here on
            code += [f"ldr r1, [sp, #{_ROUNDING}]", "mov r8, r1"]
        code += requantize(row.relu, "r8", "r6", f"[sp, #{_ZERO}]")
        code += ["strb r0, [r7]", f"ldr r1, [sp, #{_STEP}]", "adds r7, r7, r1"]
    return [*code, f"str r7, [sp, #{_OUT}]"]


def _advance(register: str, distance: int) -> list[str]:
    """Return the code that adds a number known here."""
    steps = [min(_MAX_IMMEDIATE, distance - done) for done in range(0, distance, _MAX_IMMEDIATE)]
    return [f"adds {register}, {register}, #{step}" for step in steps]
