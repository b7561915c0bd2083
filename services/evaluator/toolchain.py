"""C compilers as argument lists: zig (clang, from pip) by default, arm-none-eabi-gcc where asked for."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, assert_never

from services.common.host_compiler import COMMON_FLAGS, ToolchainMissingError, run_compiler, zig_command
from services.common.targets import Target

ToolchainKind = Literal["zig", "gcc"]


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A compiler and the folder where it may keep its caches."""

    kind: ToolchainKind
    cache: Path
    jobs: int = 2

    def compile(
        self, target: Target, sources: tuple[Path, ...], prefix: str, folder: Path, defines: tuple[str, ...] = ()
    ) -> tuple[Path, ...]:
        """Compile each source for the target into `folder/<prefix>_<number>.o`, in order."""
        objects = tuple(folder / f"{prefix}_{number:03d}.o" for number in range(len(sources)))
        commands = [
            (
                *_driver(self.kind),
                *_core_flags(self.kind, target),
                *COMMON_FLAGS,
                *defines,
                "-I",
                str(folder),
                "-c",
                str(source),
                "-o",
                str(made),
            )
            for source, made in zip(sources, objects, strict=True)
        ]
        with ThreadPoolExecutor(self.jobs) as pool:
            list(pool.map(self._run, commands))
        return objects

    def link(self, target: Target, objects: tuple[Path, ...], script: Path, output: Path) -> None:
        """Link the objects with that linker script; unused sections are dropped."""
        entry = ("-Wl,--entry=Reset_Handler", "-Wl,--gc-sections", "-T", str(script))
        bare = ("-nostartfiles", "--specs=nosys.specs", "--specs=nano.specs") if self.kind == "gcc" else ()
        self._run(
            (
                *_driver(self.kind),
                *_core_flags(self.kind, target),
                "-O2",
                *bare,
                *entry,
                *map(str, objects),
                "-o",
                str(output),
            )
        )

    def _run(self, command: tuple[str, ...]) -> None:
        run_compiler(command, self.cache)


def _driver(kind: ToolchainKind) -> tuple[str, ...]:
    match kind:
        case "zig":
            return zig_command()
        case "gcc":
            found = shutil.which("arm-none-eabi-gcc")
            if found is None:
                raise ToolchainMissingError(
                    "arm-none-eabi-gcc is not on the PATH",
                    subject="toolchain",
                    value="gcc",
                    allowed="install it, or use the toolchain zig",
                )
            return (found,)
        case _:
            assert_never(kind)


def _core_flags(kind: ToolchainKind, target: Target) -> tuple[str, ...]:
    """Return the flags for the target's core. For clang a bare cortex_m4 has no FPU, a bare cortex_m33 no DSP."""
    hard = target.fpu != "none"
    if kind == "gcc":
        fpu = {"cortex-m4": "fpv4-sp-d16", "cortex-m7": "fpv5-sp-d16", "cortex-m33": "fpv5-sp-d16"}.get(target.core)
        return (
            "-mthumb",
            f"-mcpu={target.core}",
            *((f"-mfpu={fpu}", "-mfloat-abi=hard") if hard else ("-mfloat-abi=soft",)),
        )
    cpu = {
        "cortex-m0plus": "cortex_m0plus",
        "cortex-m4": "cortex_m4+vfp4d16sp",
        "cortex-m7": "cortex_m7+fp_armv8d16sp",
        "cortex-m33": "cortex_m33+dsp+fp_armv8d16sp",
    }[target.core]
    triple = "thumb-freestanding-eabihf" if hard else "thumb-freestanding-eabi"
    return ("-target", triple, f"-mcpu={cpu}", "-fno-sanitize=all")
