"""Generated kernel files by what they are made for: layers of the same shape share one."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from services.compiler.kernels.source import KernelSource
from services.compiler.kernels.thumb2.add import Scaling, Sum, add, add_constant, add_constant_name, add_name
from services.compiler.kernels.thumb2.assembly import Routine
from services.compiler.kernels.thumb2.depthwise import depthwise
from services.compiler.kernels.thumb2.depthwise_shape import DepthwiseShape
from services.compiler.kernels.thumb2.dot import dot, dot_name
from services.compiler.kernels.thumb2.dot_wide import dot_wide, dot_wide_name
from services.compiler.kernels.thumb2.expand import expand, expand_pair
from services.compiler.kernels.thumb2.gather import ColumnsShape, GatherShape, gather, gather_columns
from services.compiler.kernels.thumb2.gemm import STEPS, gemm, gemm_name
from services.compiler.kernels.thumb2.issue import Issue

HEADER = "tinyfarm_thumb2.h"
_FOLDER = Path(__file__).parent / "sources"

# C files by the functions they define, with the portable files they call
NEEDS = {
    "tf_conv2d_thumb2_s8": ("tf_bytes",),
    "tf_conv2d_column_thumb2_s8": ("tf_bytes",),
    "tf_pointwise_thumb2_s8": (),
    "tf_fully_connected_thumb2_s8": (),
    "tf_depthwise_thumb2_s8": (),
    "tf_add_thumb2_s8": (),
    "tf_add_constant_thumb2_s8": (),
    "tf_mul_thumb2_s8": (),
    "tf_max_pool2d_thumb2_s8": (),
    "tf_average_pool2d_thumb2_s8": (),
    "tf_mean_thumb2_s8": (),
    "tf_image_sums_thumb2_s8": (),
    "tf_softmax_thumb2_s8": (),
    "tf_quantize_thumb2_f32": ("tf_quantize_f32",),
    "tf_conv2d_thumb2_s16": (),
    "tf_fully_connected_thumb2_s16": (),
    "tf_depthwise_thumb2_s16": (),
}

# bytes of each parameter struct on a 32-bit core; a test compares them with what the C compiler says
PARAMS_BYTES = {
    "tf_conv2d_thumb2_params": 68,
    "tf_fully_connected_thumb2_params": 40,
    "tf_depthwise_thumb2_params": 56,
    "tf_add_thumb2_params": 48,
    "tf_add_constant_thumb2_params": 48,
    "tf_softmax_thumb2_params": 8,
    "tf_conv2d_thumb2_s16_params": 44,
    "tf_fully_connected_thumb2_s16_params": 20,
    "tf_depthwise_thumb2_s16_params": 36,
}


@cache
def source_text(file: str) -> str:
    """Return the text of a C file of this kernel set."""
    return (_FOLDER / file).read_text(encoding="utf-8")


def gemm_file(relu: bool, tail: int, bits: int, steps: int = STEPS) -> KernelSource:
    """Return the matrix routine for pairs of pixels."""
    name = gemm_name(relu, tail, bits, steps)
    return KernelSource(
        f"{name}.c",
        (f"tf_gemm {name};",),
        "Two pixels times four packed channels.",
        lambda issue: (gemm(relu, tail, bits, issue, steps),),
    )


def dot_file(relu: bool, tail: int, bits: int) -> KernelSource:
    """Return the matrix routine for one vector."""
    name = dot_name(relu, tail, bits)
    return KernelSource(
        f"{name}.c",
        (f"tf_dot {name};",),
        "One vector times four packed channels.",
        lambda issue: (dot(relu, tail, bits, issue),),
    )


def dot_wide_file(relu: bool) -> KernelSource:
    """Return the matrix routine for one vector of int16."""
    name = dot_wide_name(relu)
    comment = "One vector of int16 times two packed channels."
    return KernelSource(f"{name}.c", (f"tf_dot_wide {name};",), comment, lambda issue: (dot_wide(relu, issue),))


def expand_pair_file() -> KernelSource:
    """Return the routine that widens two pixels."""
    return KernelSource("tf_expand_pair_s8.c", (), "Two pixels to int16.", lambda _: (expand_pair(),))


def expand_file() -> KernelSource:
    """Return the routine that widens one vector."""
    return KernelSource("tf_expand_s8.c", (), "A vector to int16.", lambda _: (expand(),))


def depthwise_file(shape: DepthwiseShape, image: GatherShape | ColumnsShape) -> tuple[str, str, KernelSource]:
    """Return the names of the channel and the gather routine of a depthwise shape, and their file: for patches, where
    the image is read by columns.
    """
    (kernel_h, kernel_w), (stride_h, stride_w) = shape.kernel_hw, shape.stride_hw
    dilated = "" if shape.dilation_hw == (1, 1) else f"d{shape.dilation_hw[0]}x{shape.dilation_hw[1]}"
    # ReLU, nibbles, small, to the left
    marks = f"{'r' * shape.relu}{'n' * (shape.weight_bits == 4)}{'s' * shape.small}{'l' * shape.no_right_shift}"
    tag = (  # a file's name has 64 characters at most
        f"{kernel_h}x{kernel_w}s{stride_h}x{stride_w}{dilated}_w{shape.out_w}c{shape.channels}p{shape.plane_w}"
        f"_{_image_tag(image)}_z{shape.zero_point + 128}{marks}{f'g{shape.gap}' if shape.gap else ''}"
    )
    channel, loader = f"tf_depthwise_{tag}", f"tf_gather_{tag}"

    def routines(_: Issue) -> tuple[Routine, ...]:
        made = gather(loader, image) if isinstance(image, GatherShape) else gather_columns(loader, image)
        return depthwise(channel, shape), made

    type_ = "tf_depthwise_gather" if isinstance(image, GatherShape) else "tf_depthwise_gather_columns"
    declarations = f"tf_depthwise_channel {channel};", f"{type_} {loader};"
    comment = f"Depthwise {kernel_h}x{kernel_w} of one channel, {shape.out_w} columns."
    return channel, loader, KernelSource(f"{channel}.c", declarations, comment, routines)


def _image_tag(image: GatherShape | ColumnsShape) -> str:
    if isinstance(image, GatherShape):
        return f"w{image.width}c{image.channels}l{image.left}"
    return f"r{image.row_bytes}c{image.channels}"


def add_file(sum_: Sum, *, shifted: bool) -> KernelSource:
    """Return the routine of sums or differences of two tensors."""
    name = add_name(sum_, shifted=shifted)
    declarations = (f"tf_add_row {name};",)
    return KernelSource(f"{name}.c", declarations, "Sums, a word at a time.", lambda _: (add(sum_, shifted=shifted),))


def add_constant_file(sum_: Sum, scaling: Scaling) -> KernelSource:
    """Return the routine of sums or differences of a tensor and a constant."""
    name = add_constant_name(sum_, scaling)
    declarations = (f"tf_add_constant_row {name};",)
    comment = "Sums with constants, a word at a time."
    return KernelSource(f"{name}.c", declarations, comment, lambda _: (add_constant(sum_, scaling),))
