"""Blocks of pixels to and from channels, as reshapes and one transpose of four dimensions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from services.compiler.ir.ops import Op, Reshape, Transpose
from services.compiler.ir.tensor import Tensor, TensorId

AddTensor = Callable[[Tensor], TensorId]


def depth_to_space(
    name: str, source: tuple[TensorId, Tensor], output: TensorId, block_hw: tuple[int, int], add: AddTensor
) -> tuple[Op, ...]:
    """Return operators that spread channels [block_h, block_w, C] of [1, H, W, block_h * block_w * C] over pixels."""
    _, height, width, channels = source[1].shape
    block_h = block_hw[0]
    cut = (height, width, block_h, channels // block_h)
    moved = (height, block_h, width, channels // block_h)
    return _moved(name, source, output, (cut, moved), add)


def space_to_depth(
    name: str, source: tuple[TensorId, Tensor], output: TensorId, block_hw: tuple[int, int], add: AddTensor
) -> tuple[Op, ...]:
    """Return operators that gather blocks of pixels of [1, H, W, C] as channels [block_h, block_w, C]."""
    _, height, width, channels = source[1].shape
    block_h, block_w = block_hw
    cut = (height // block_h, block_h, width // block_w, block_w * channels)
    moved = (height // block_h, width // block_w, block_h, block_w * channels)
    return _moved(name, source, output, (cut, moved), add)


def _moved(
    name: str,
    source: tuple[TensorId, Tensor],
    output: TensorId,
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    add: AddTensor,
) -> tuple[Op, ...]:
    """Return the transpose of the middle axes between two reshapes."""
    cut, moved = (add(replace(source[1], name=f"{name}/blocks", shape=s, data=None, is_constant=False)) for s in shapes)
    return (
        Reshape(name=name, inputs=(source[0],), outputs=(cut,)),
        Transpose(name=name, inputs=(cut,), outputs=(moved,), permutation=(0, 2, 1, 3)),
        Reshape(name=name, inputs=(moved,), outputs=(output,)),
    )
