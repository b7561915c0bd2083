"""Programs and libraries for this machine, built by the C compiler that comes from pip (zig's clang)."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
from pathlib import Path

from services.common.errors import FailedPreconditionError, UnavailableError

# For the host as for the target: the same arithmetic, none of it reordered.
COMMON_FLAGS = (
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


class ToolchainError(FailedPreconditionError):
    """The C compiler or linker refused the sources."""

    default_reason = "TOOLCHAIN_FAILED"


class ToolchainMissingError(UnavailableError):
    """The toolchain asked for is not installed."""

    default_reason = "TOOLCHAIN_MISSING"


def zig_command() -> tuple[str, ...]:
    """Return the command that starts zig's C compiler. Raises ToolchainMissingError where it is not installed."""
    spec = importlib.util.find_spec("ziglang")
    if spec is None or spec.origin is None:
        raise ToolchainMissingError(
            "the zig toolchain is not installed", subject="toolchain", value="zig", allowed="pip install ziglang"
        )
    return str(Path(spec.origin).parent / "zig"), "cc"


def build_for_host(
    cache: Path, sources: tuple[Path, ...], output: Path, *, shared: bool, flags: tuple[str, ...] = ()
) -> None:
    """Build a program or a shared library for this machine; always with zig, with the flags of the target's build."""
    form = ("-shared", "-fPIC") if shared else ()
    run_compiler(
        (*zig_command(), "-fno-sanitize=all", *COMMON_FLAGS, *form, *flags, *map(str, sources), "-o", str(output)),
        cache,
    )


def build_cached_library(cache: Path, sources: tuple[Path, ...]) -> Path:
    """Build C files into a shared library for this host, named after the first, once for each content; return its path.

    Headers beside them are part of the content.
    """
    headers = {header for source in sources for header in source.parent.glob("*.h")}
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in (*sources, *sorted(headers)))).hexdigest()[:16]
    output = cache / f"{sources[0].stem}-{digest}.so"
    if not output.exists():
        make_cache(cache)
        partial = cache / f"{output.stem}.{os.getpid()}.so"
        build_for_host(cache, sources, partial, shared=True)
        partial.replace(output)
    return output


def make_cache(cache: Path) -> None:
    """Make the folder of what is compiled once. Raises UnavailableError where it cannot be made."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(
            f"the folder {str(cache)!r} for what is compiled once cannot be made: {error.strerror}",
            reason="NO_CACHE",
            subject="cache",
            value=cache,
            allowed="a folder that can be written: TINYFARM_CACHE",
        ) from None


def run_compiler(command: tuple[str, ...], cache: Path) -> None:
    """Run a compiler; ToolchainError carries the first lines that it printed."""
    make_cache(cache)
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
