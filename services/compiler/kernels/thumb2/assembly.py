"""Assembly routines as C text: one `__asm__` statement at file level, alike for clang and gcc."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# all that an AAPCS routine must give back as it found it
SAVED_BYTES = 36
# of an STM32L4's instruction cache, which has 32 such lines
CACHE_LINE_BYTES = 32
_ENTER = ("push {r4-r11, lr}",)
_LEAVE = ("pop {r4-r11, pc}",)


@dataclass(frozen=True, slots=True)
class Routine:
    """A function in assembly: `name(prototype)`; `body` lines lie between saving and restoring r4-r11 and lr.

    `frame_bytes` of stack lie at `sp` while the body runs. `enter` and `leave` save and restore `SAVED_BYTES`. Every
    instruction of a `narrow` routine has two bytes. `disjoint` tells that no run of instructions between labels and
    jumps loads what it stores through a pointer. `loops` are how often those run whose number is known, by label. What
    has to share the instruction cache starts with one of its lines: `align_bytes`.
    """

    name: str
    prototype: str
    body: tuple[str, ...]
    frame_bytes: int = 0
    enter: tuple[str, ...] = _ENTER
    leave: tuple[str, ...] = _LEAVE
    narrow: bool = False
    disjoint: bool = False
    loops: tuple[tuple[str, int], ...] = ()
    align_bytes: int = 4

    def lines(self) -> tuple[str, ...]:
        """Return the routine as assembler lines."""
        frame = self.frame_bytes
        return (
            f'.section .text.{self.name},"ax",%progbits',
            f".balign {self.align_bytes}",
            f".global {self.name}",
            f".type {self.name}, %function",
            ".thumb_func",
            f"{self.name}:",
            *self.enter,
            *((f"sub sp, sp, #{frame}",) if frame else ()),
            *self.body,
            *((f"add sp, sp, #{frame}",) if frame else ()),
            *self.leave,
            f".size {self.name}, . - {self.name}",
        )


def c_file(comment: str, header: str, routines: Iterable[Routine], code: str = "") -> str:
    """Return a C file that includes `header`, with the routines, then `code`."""
    text = [f"/* {comment} */", f'#include "{header}"', "", "__asm__("]
    text += ['    ".syntax unified\\n"', '    ".thumb\\n"']
    routines = tuple(routines)
    for routine in routines:
        text += [f'    "{_escape(line)}\\n"' for line in routine.lines()]
    text += ['    ".text\\n"', ");", ""]
    text += [f"{routine.prototype};" for routine in routines]
    return "\n".join(text) + "\n" + code


def _escape(line: str) -> str:
    return line.replace('"', '\\"')
