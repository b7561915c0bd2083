"""What a plan sees and computes: receptive fields and multiply-accumulates from the layers' shapes alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.search.space.plan import BlockPlan, ConvPlan, Plan, RnnPoolPlan


@dataclass(frozen=True, slots=True)
class Sight:
    """Input pixels, along one axis, that a value depends on, and the pixels from one value to the next."""

    receptive_field: int = 1
    jump: int = 1

    def through(self, layer: ConvPlan | RnnPoolPlan) -> Sight:
        """Return what the layer's outputs see when its inputs see this much.

        Source: Araujo et al., Computing Receptive Fields of Convolutional Neural Networks, Distill 2019, equation 2.
        """
        kernel = layer.kernel if isinstance(layer, ConvPlan) else layer.patch
        return Sight(self.receptive_field + (kernel - 1) * self.jump, self.jump * layer.stride)


def sight(blocks: Sequence[BlockPlan]) -> Sight:
    """Return what the last block's outputs see; a residual never sees more than the layers it bridges."""
    seen = Sight()
    for block in blocks:
        for layer in block.layers():
            seen = seen.through(layer)
    return seen


def plan_macs(plan: Plan) -> int:
    """Return the multiply-accumulates of a plan; taps in the padding count, as is usual."""
    total, size = plan.features * plan.classes, plan.resolution
    for layer in (layer for block in plan.blocks for layer in block.layers()):
        size = output_size(size, layer)
        total += conv_macs(layer, size) if isinstance(layer, ConvPlan) else rnn_pool_macs(layer, size)
    return total


def conv_macs(conv: ConvPlan, size: int) -> int:
    """Return the multiply-accumulates of a layer with `size` x `size` outputs."""
    inputs = 1 if conv.depthwise else conv.in_channels
    return size**2 * conv.kernel**2 * inputs * conv.out_channels


def rnn_pool_macs(pool: RnnPoolPlan, size: int) -> int:
    """Return the multiply-accumulates of an RNNPool with `size` x `size` outputs; a pixel is read once a patch."""
    sweeps = pool.patch**2 * (pool.in_channels + 2 * pool.hidden) * pool.hidden
    return size**2 * (sweeps + 4 * pool.patch * (pool.hidden + pool.summary) * pool.summary)


def output_size(size: int, layer: ConvPlan | RnnPoolPlan) -> int:
    """Return the side of a layer's output; a convolution's padding is kernel // 2 on every side."""
    kernel, padding = (layer.kernel, layer.kernel // 2) if isinstance(layer, ConvPlan) else (layer.patch, layer.padding)
    return (size + 2 * padding - kernel) // layer.stride + 1
