"""C compilers as argument lists: zig (clang, from pip) by default, arm-none-eabi-gcc where asked for."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, assert_never

from services.common.targets import Target
from services.evaluator.errors import ToolchainError, ToolchainMissingError

ToolchainKind = Literal["zig", "gcc"]

_COMMON = (
    "-O2",
    "-fomit-frame-pointer",
    "-ffp-contract=off",
    "-ffunction-sections",
    "-fdata-sections",
    "-std=gnu99",
    "-Wall",
    "-fno-unwind-tables",
    "-fno-asynchronous-unwind-tables",
)
_COMPILE_SECONDS = 300
_MAX_ERROR_LINES = 20


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
                *_COMMON,
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


def build_for_host(
    cache: Path, sources: tuple[Path, ...], output: Path, *, shared: bool, flags: tuple[str, ...] = ()
) -> None:
    """Build a program or a shared library for this machine; always with zig, with the flags of the target's build."""
    form = ("-shared", "-fPIC") if shared else ()
    run_compiler(
        (*_driver("zig"), "-fno-sanitize=all", *_COMMON, *form, *flags, *map(str, sources), "-o", str(output)), cache
    )


def build_cached_library(cache: Path, source: Path) -> Path:
    """Build one C file into a shared library for this host, once for each content; return its path."""
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    output = cache / f"{source.stem}-{digest}.so"
    if not output.exists():
        cache.mkdir(parents=True, exist_ok=True)
        partial = cache / f"{source.stem}-{digest}.{os.getpid()}.so"
        build_for_host(cache, (source,), partial, shared=True)
        partial.replace(output)
    return output


def _driver(kind: ToolchainKind) -> tuple[str, ...]:
    match kind:
        case "zig":
            spec = importlib.util.find_spec("ziglang")
            if spec is None or spec.origin is None:
                raise ToolchainMissingError(
                    "the zig toolchain is not installed",
                    subject="toolchain",
                    value="zig",
                    allowed="pip install ziglang",
                )
            return (str(Path(spec.origin).parent / "zig"), "cc")
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


def run_compiler(command: tuple[str, ...], cache: Path) -> None:
    """Run a compiler; ToolchainError carries the first lines that it printed."""
    cache.mkdir(parents=True, exist_ok=True)
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(cache),
        "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
        "ZIG_GLOBAL_CACHE_DIR": str(cache / "zig"),
        "ZIG_LOCAL_CACHE_DIR": str(cache / "zig"),
    }
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=_COMPILE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolchainError(
            f"the compiler took more than {_COMPILE_SECONDS} s", subject="compiler", allowed=_COMPILE_SECONDS
        ) from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()[:_MAX_ERROR_LINES]
        raise ToolchainError(
            "the compiler refused the sources:\n" + "\n".join(lines), subject="compiler", value=done.returncode
        )
