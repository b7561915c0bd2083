"""The portable kernels: one C file each, plain C99, for every core and for the host."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

KERNEL_HEADER = "tinyfarm_kernels.h"
_FOLDER = Path(__file__).parent / "portable"

# kernels that call another file's functions
_NEEDS = {
    "tf_copy_s8": ("tf_bytes",),
    "tf_fill_s8": ("tf_bytes",),
    "tf_resize_nearest_s8": ("tf_bytes",),
    "tf_transpose_image_s8": ("tf_bytes",),
    "tf_depthwise_conv2d_plane_s8": ("tf_bytes", "tf_depthwise_plane"),
    "tf_depthwise_conv2d_plane_s4": ("tf_bytes", "tf_depthwise_plane"),
}

# bytes of each parameter struct on a 32-bit core; a test compares them with what the C compiler says
PARAMS_BYTES = {
    "tf_region": 24,
    "tf_turn": 4,
    "tf_box": 8,
    "tf_conv2d_s8_params": 56,
    "tf_depthwise_conv2d_s8_params": 56,
    "tf_fully_connected_s8_params": 36,
    "tf_add_s8_params": 92,
    "tf_mul_s8_params": 80,
    "tf_extremum_s8_params": 68,
    "tf_prelu_s8_params": 84,
    "tf_pool2d_s8_params": 36,
    "tf_mean_s8_params": 84,
    "tf_image_sums_s8_params": 8,
    "tf_mean_of_sums_s8_params": 20,
    "tf_pool_of_sums_s8_params": 16,
    "tf_softmax_s8_params": 12,
    "tf_lut_s8_params": 16,
    "tf_copy_s8_params": 64,
    "tf_fill_s8_params": 12,
    "tf_transpose_image_s8_params": 12,
    "tf_resize_nearest_s8_params": 20,
    "tf_rnn_pool_s8_params": 104,
    "tf_resize_bilinear_s8_params": 28,
    "tf_quantize_params": 28,
    "tf_limit_params": 12,
    "tf_conv2d_s16_params": 64,
    "tf_depthwise_conv2d_s16_params": 64,
    "tf_fully_connected_s16_params": 40,
    "tf_softmax_s16_params": 20,
    "tf_sigmoid_s16_params": 24,
    "tf_rescale_params": 24,
}


def kernel_files(functions: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the C files that define these functions and what they call, sorted."""
    needed = {name for function in functions for name in (function, *_NEEDS.get(function, ()))}
    return tuple(f"{name}.c" for name in sorted(needed))


@cache
def kernel_text(file: str) -> str:
    """Return a kernel file's text, or the header's."""
    return (_FOLDER / file).read_text(encoding="utf-8")
