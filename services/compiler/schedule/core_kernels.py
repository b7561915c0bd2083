"""What planning needs to know of the cores' own kernels, whatever the set: scratch, and how far they read ahead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from services.compiler.ir.alone import remembered
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Conv2D, DepthwiseConv2D, FullyConnected, Op
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.kernels.thumb1.gemm import TILE_PIXELS
from services.compiler.schedule import thumb1, thumb2

Extent = tuple[int, int]
_THUMB2 = (KernelSet.THUMB2, KernelSet.THUMB2_SMALL)


@remembered
def scratch_sizes(graph: Graph, op: Op, kernels: KernelSet, extent: Extent | None = None) -> tuple[int, ...]:
    """Return the sizes of scratch that the operator's kernel can use, upwards: the first is what it needs.

    Empty where it needs none, or is a portable one. More scratch is never slower. `extent` are the output rows and
    columns that one call computes, all if None.
    """
    match kernels:
        case KernelSet.PORTABLE:
            return ()
        case KernelSet.THUMB2 | KernelSet.THUMB2_SMALL:
            return thumb2.scratch_sizes(graph, op, extent)
        case KernelSet.THUMB1:
            return thumb1.scratch_sizes(graph, op, extent)
        case _:
            assert_never(kernels)


@dataclass(frozen=True, slots=True)
class ConvBlock:
    """Output pixels whose windows are read before any of them is written; blocks may end with every row."""

    pixels: int
    ends_with_row: bool = False


def conv_block(graph: Graph, op: Conv2D, kernels: KernelSet) -> ConvBlock | None:
    """Return the blocks of a convolution; None where it is left to the portable kernel."""
    match kernels:
        case KernelSet.PORTABLE:
            return None
        case KernelSet.THUMB2 | KernelSet.THUMB2_SMALL:
            if thumb2.matrix_depth(graph, op) is None:
                return None
            # a block of one pair asks for the most: it begins latest
            return ConvBlock(2, ends_with_row=thumb2.is_pointwise(graph, op) and op.stride_hw != (1, 1))
        case KernelSet.THUMB1:
            return ConvBlock(TILE_PIXELS) if thumb1.convolves(graph, op) else None
        case _:
            assert_never(kernels)


def expands_vectors(graph: Graph, op: FullyConnected, kernels: KernelSet) -> bool:
    """Whether a fully connected layer reads a whole vector before it writes an output of it."""
    depths = thumb2.matrix_depth, thumb2.wide_depth
    return kernels in _THUMB2 and any(depth(graph, op) is not None for depth in depths)


def chunk_rows(
    graph: Graph, op: DepthwiseConv2D, kernels: KernelSet, scratch_bytes: int, extent: Extent | None = None
) -> int | None:
    """Return the output rows at a time that a depthwise convolution's plane holds; None for all of them.

    `extent` are the output rows and columns that one call computes, all if None.
    """
    match kernels:
        case KernelSet.PORTABLE:
            return None
        case KernelSet.THUMB2 | KernelSet.THUMB2_SMALL:
            plan = thumb2.depthwise_plan(graph, op, extent)
            return None if plan is None else plan.plane().chunk_rows(scratch_bytes)
        case KernelSet.THUMB1:
            plane = thumb1.depthwise_plane(graph, op, extent)
            return None if plane is None else plane.chunk_rows(scratch_bytes)
        case _:
            assert_never(kernels)
