"""The sizes that flash figures count for parameter structs are those of the C compiler."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.compiler.kernels.portable_set import KERNEL_HEADER, PARAMS_BYTES, kernel_files, kernel_text

CORES = {
    "cortex-m4": ("thumb-freestanding-eabihf", "cortex_m4+vfp4d16sp"),
    "cortex-m0plus": ("thumb-freestanding-eabi", "cortex_m0plus"),
}
FOLDER = Path(__file__).parents[3] / "services" / "compiler" / "kernels" / "portable"


@pytest.mark.parametrize("core", CORES)
def test_struct_sizes_are_those_of_the_core(core: str, tmp_path: Path) -> None:
    (tmp_path / KERNEL_HEADER).write_text(kernel_text(KERNEL_HEADER))
    checks = [f"char check_{name}[sizeof({name}) == {size} ? 1 : -1];" for name, size in PARAMS_BYTES.items()]
    (tmp_path / "sizes.c").write_text(f'#include "{KERNEL_HEADER}"\n' + "\n".join(checks) + "\n")
    target, cpu = CORES[core]
    command = (sys.executable, "-m", "ziglang", "cc", "-target", target, f"-mcpu={cpu}", "-std=c99", "-c", "sizes.c")
    subprocess.run([*command, "-o", "sizes.o"], check=True, cwd=tmp_path, timeout=120)


def test_every_kernel_file_is_reachable() -> None:
    functions = [file.stem for file in FOLDER.glob("tf_*.c") if file.stem != "tf_bytes"]
    assert set(kernel_files(functions)) == {file.name for file in FOLDER.glob("tf_*.c")}


def test_kernels_use_no_library_header() -> None:
    for file in FOLDER.glob("*.[ch]"):
        includes = {line for line in file.read_text().splitlines() if line.startswith("#include")}
        assert includes <= {'#include "tinyfarm_kernels.h"', "#include <stdint.h>"}, file.name
