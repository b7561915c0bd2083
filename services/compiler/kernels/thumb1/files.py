"""Generated kernel files by what they are made for, and the C files that call them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from services.compiler.kernels.source import KernelSource
from services.compiler.kernels.thumb1.add import add, add_name
from services.compiler.kernels.thumb1.depthwise import DepthwiseRow, depthwise
from services.compiler.kernels.thumb1.dot import dot, dot_name
from services.compiler.kernels.thumb1.expand import expand
from services.compiler.kernels.thumb1.gemm import gemm, gemm_name

HEADER = "tinyfarm_thumb1.h"
_FOLDER = Path(__file__).parent / "sources"

# C files by the functions they define, with the portable files they call
NEEDS = {
    "tf_conv2d_thumb1_s8": ("tf_bytes",),
    "tf_depthwise_thumb1_s8": ("tf_bytes",),
    "tf_fully_connected_thumb1_s8": (),
    "tf_add_thumb1_s8": (),
}

# bytes of each parameter struct; a test compares them with what the C compiler says
PARAMS_BYTES = {
    "tf_conv2d_thumb1_params": 52,
    "tf_depthwise_thumb1_params": 68,
    "tf_fully_connected_thumb1_params": 20,
    "tf_add_thumb1_params": 48,
}


@cache
def source_text(file: str) -> str:
    """Return the text of a C file of this kernel set."""
    return (_FOLDER / file).read_text(encoding="utf-8")


def gemm_file(relu: bool) -> KernelSource:
    """Return the matrix routine for four pixels."""
    name = gemm_name(relu)
    return KernelSource(
        f"{name}.c", (f"tf_matrix {name};",), "Four pixels times a packed filter.", lambda _: (gemm(relu),), HEADER
    )


def expand_file() -> KernelSource:
    """Return the routine that widens four pixels."""
    return KernelSource("tf_expand_four_s8.c", (), "Four pixels to words of two.", lambda _: (expand(),), HEADER)


def depthwise_file(row: DepthwiseRow) -> KernelSource:
    """Return the routine for one channel of a depthwise convolution."""
    kernel_h, kernel_w = row.kernel_hw
    comment = f"Depthwise {kernel_h}x{kernel_w} of one channel, {row.tile} outputs at once."
    return KernelSource(
        f"{row.name}.c", (f"tf_depthwise_rows {row.name};",), comment, lambda _: (depthwise(row),), HEADER
    )


def dot_file(relu: bool, tail: int) -> KernelSource:
    """Return the routine for one vector; `tail` is the number of outputs modulo 4."""
    name = dot_name(relu, tail)
    return KernelSource(
        f"{name}.c", (f"tf_vector {name};",), "One vector times a packed filter.", lambda _: (dot(relu, tail),), HEADER
    )


def add_file(shifted: bool) -> KernelSource:
    """Return the routine of additions."""
    name = add_name(shifted)
    return KernelSource(f"{name}.c", (f"tf_add_row {name};",), "Sums of a row.", lambda _: (add(shifted),), HEADER)
