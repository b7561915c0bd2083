"""A portable kernel alone, built for this machine and called by ctypes."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path
from typing import Any

from services.compiler.kernels.portable_set import KERNEL_HEADER, kernel_files, kernel_text


def host_kernel(name: str, folder: Path) -> Any:
    """Return the C function of that name."""
    files = kernel_files((name,))
    for file in (KERNEL_HEADER, *files):
        (folder / file).write_text(kernel_text(file))
    command = (sys.executable, "-m", "ziglang", "cc", "-std=c99", "-O2", "-shared", "-fPIC", "-fno-sanitize=all")
    subprocess.run([*command, "-o", "kernel.so", *files], cwd=folder, check=True, timeout=120)
    return getattr(ctypes.CDLL(str(folder / "kernel.so")), name)
