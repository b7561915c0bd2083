"""One channel of an image into rows of an int16 plane, where depthwise convolutions find it."""

from __future__ import annotations

from dataclasses import dataclass

from services.compiler.kernels.thumb2.assembly import Routine

IMAGE_ROWS, _COLUMNS = "1", "2"
_REGISTERS = ("r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11")
_MAX_POST_INDEX = 255


@dataclass(frozen=True, slots=True)
class GatherShape:
    """What a routine is made for: columns and channels (the step in bytes) of the image, columns of padding before
    them, and the plane's row, which holds every `phases`th column together.
    """

    width: int
    channels: int
    left: int
    plane_w: int
    phases: int = 1

    @property
    def together(self) -> int:
        """Columns that are loaded before they are stored: as many of every phase."""
        return self.phases * max(1, len(_REGISTERS) // self.phases)


def gather(name: str, shape: GatherShape) -> Routine:
    """Return `name(plane, in, rows)`: one channel of `rows` rows of the image, int8 to int16, to rows of the plane."""
    loop, left = divmod(shape.width, shape.together)
    first = shape.left // shape.phases
    body = [f"add r0, r0, #{2 * first}"] if first else []
    body.append(f"{IMAGE_ROWS}:")
    if loop > 1:
        body += [f"mov r3, #{loop}", f"{_COLUMNS}:"]
    if loop:
        body += _columns(shape, shape.together)
    if loop > 1:
        body += ["subs r3, r3, #1", f"bne {_COLUMNS}b"]
    body += _columns(shape, left)
    # what is left has advanced the plane of one phase only
    stored = shape.width if shape.phases == 1 else loop * shape.together // shape.phases
    gap = 2 * (shape.plane_w - stored)
    body += [f"add r0, r0, #{gap}"] if gap else []
    body += ["subs r2, r2, #1", f"bne {IMAGE_ROWS}b"]
    prototype = f"void {name}(int16_t *plane, const int8_t *in, int32_t rows)"
    return Routine(name, prototype, tuple(body), loops=((_COLUMNS, loop),))


def _columns(shape: GatherShape, count: int) -> list[str]:
    code: list[str] = []
    for first in range(0, count, len(_REGISTERS)):
        registers = _REGISTERS[: count - first]
        for register in registers:
            code += _load(register, shape.channels)
        code += _store_words(registers) if shape.phases == 1 else _store_phases(registers, shape, first)
    if shape.phases > 1 and count == shape.together:
        code.append(f"add r0, r0, #{2 * count // shape.phases}")
    return code


def _load(register: str, channels: int) -> tuple[str, ...]:
    if channels <= _MAX_POST_INDEX:
        return (f"ldrsb {register}, [r1], #{channels}",)
    return f"ldrsb {register}, [r1]", f"add r1, r1, #{channels}"


def _store_words(registers: tuple[str, ...]) -> list[str]:
    pairs = list(zip(registers[0::2], registers[1::2], strict=False))
    code = [f"pkhbt {low}, {low}, {high}, lsl #16" for low, high in pairs]
    # the plane's first interior column may be odd, so words are stored unaligned: STR allows it, STM does not
    code += [f"str {low}, [r0], #4" for low, _ in pairs]
    return [*code, f"strh {registers[-1]}, [r0], #2"] if len(registers) % 2 else code


def _store_phases(registers: tuple[str, ...], shape: GatherShape, first: int) -> list[str]:
    """Return the stores of columns from number `first` of those that are loaded together."""
    code = []
    for column, register in enumerate(registers, shape.left % shape.phases + first):
        place, phase = divmod(column, shape.phases)
        code.append(f"strh {register}, [r0, #{2 * (phase * shape.plane_w // shape.phases + place)}]")
    return code
