"""Assembly routines as C text: one `__asm__` statement at file level, alike for clang and gcc."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# all that an AAPCS routine must give back as it found it
_SAVED = "{r4-r11, lr}"
_RETURN = "{r4-r11, pc}"
SAVED_BYTES = 36


@dataclass(frozen=True, slots=True)
class Routine:
    """A function in assembly: `name(prototype)`; `body` lines lie between saving and restoring r4-r11 and lr.

    `frame_bytes` of stack lie at `sp` while the body runs.
    """

    name: str
    prototype: str
    body: tuple[str, ...]
    frame_bytes: int = 0

    def lines(self) -> tuple[str, ...]:
        """Return the routine as assembler lines."""
        frame = self.frame_bytes
        return (
            f'.section .text.{self.name},"ax",%progbits',
            ".balign 4",
            f".global {self.name}",
            f".type {self.name}, %function",
            ".thumb_func",
            f"{self.name}:",
            f"push {_SAVED}",
            *((f"sub sp, sp, #{frame}",) if frame else ()),
            *self.body,
            *((f"add sp, sp, #{frame}",) if frame else ()),
            f"pop {_RETURN}",
            f".size {self.name}, . - {self.name}",
        )


def c_file(comment: str, routines: Iterable[Routine], code: str = "") -> str:
    """Return a C file with the routines, for cores with the DSP extension only, then `code`."""
    text = [f"/* {comment} */", '#include "tinyfarm_thumb2.h"', "", "__asm__("]
    text += ['    ".syntax unified\\n"', '    ".thumb\\n"']
    routines = tuple(routines)
    for routine in routines:
        text += [f'    "{_escape(line)}\\n"' for line in routine.lines()]
    text += ['    ".text\\n"', ");", ""]
    text += [f"{routine.prototype};" for routine in routines]
    return "\n".join(text) + "\n" + code


def _escape(line: str) -> str:
    return line.replace('"', '\\"')
