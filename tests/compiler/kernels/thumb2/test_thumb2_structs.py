"""The sizes that flash figures count for the Thumb-2 kernels' parameter structs are those of the C compiler."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.compiler.kernels.portable_set import KERNEL_HEADER, kernel_text
from services.compiler.kernels.thumb2.files import HEADER, PARAMS_BYTES, source_text

CORES = {
    "cortex-m4": "cortex_m4+vfp4d16sp",
    "cortex-m7": "cortex_m7+fp_armv8d16sp",
    "cortex-m33": "cortex_m33+dsp+fp_armv8d16sp",
}


@pytest.mark.parametrize("core", CORES)
def test_struct_sizes_are_those_of_the_core(core: str, tmp_path: Path) -> None:
    (tmp_path / KERNEL_HEADER).write_text(kernel_text(KERNEL_HEADER))
    (tmp_path / HEADER).write_text(source_text(HEADER))
    checks = [f"char check_{name}[sizeof({name}) == {size} ? 1 : -1];" for name, size in PARAMS_BYTES.items()]
    (tmp_path / "sizes.c").write_text(f'#include "{HEADER}"\n' + "\n".join(checks) + "\n")
    target = ("-target", "thumb-freestanding-eabihf", f"-mcpu={CORES[core]}")
    command = (sys.executable, "-m", "ziglang", "cc", *target, "-std=c99", "-c", "sizes.c", "-o", "sizes.o")
    subprocess.run(command, check=True, cwd=tmp_path, timeout=120)


def test_every_parameter_struct_has_its_size_told() -> None:
    declared = {line.split()[1].rstrip(";") for line in source_text(HEADER).splitlines() if line.startswith("} tf_")}
    assert set(PARAMS_BYTES) == {name for name in declared if name.endswith("_params")}
