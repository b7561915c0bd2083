"""Assembly text to machine code, many pieces at a time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from elftools.elf.elffile import ELFFile

TARGET = ("-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m7+fp_armv8d16sp")


def assemble(pieces: Mapping[str, str], folder: Path) -> dict[str, bytes]:
    """Return the code of every piece, whose instructions are separated by semicolons."""
    sections = [
        f'.section .text.n{number},"ax",%progbits\n' + "\n".join(piece.split(";")) + "\n"
        for number, piece in enumerate(pieces.values())
    ]
    (folder / "pieces.s").write_text(".syntax unified\n.thumb\n" + "".join(sections))
    command = (sys.executable, "-m", "ziglang", "cc", *TARGET, "-c", "pieces.s", "-o", "pieces.o")
    subprocess.run(command, check=True, cwd=folder, timeout=120)
    with (folder / "pieces.o").open("rb") as file:
        elf = ELFFile(file)
        return {name: elf.get_section_by_name(f".text.n{number}").data() for number, name in enumerate(pieces)}
