"""What a plan sees and computes: receptive fields and multiply-accumulates from the layers' shapes alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.search.space.plan import BlockPlan, ConvPlan, Plan


@dataclass(frozen=True, slots=True)
class Sight:
    """Input pixels, along one axis, that a value depends on, and the pixels from one value to the next."""

    receptive_field: int = 1
    jump: int = 1

    def through(self, conv: ConvPlan) -> Sight:
        """Return what the layer's outputs see when its inputs see this much.

        Source: Araujo et al., Computing Receptive Fields of Convolutional Neural Networks, Distill 2019, equation 2.
        """
        return Sight(self.receptive_field + (conv.kernel - 1) * self.jump, self.jump * conv.stride)


def sight(blocks: Sequence[BlockPlan]) -> Sight:
    """Return what the last block's outputs see; a residual never sees more than the layers it bridges."""
    seen = Sight()
    for block in blocks:
        for conv in block.convs:
            seen = seen.through(conv)
    return seen


def plan_macs(plan: Plan) -> int:
    """Return the multiply-accumulates of a plan; taps in the padding count, as is usual."""
    total, size = plan.features * plan.classes, plan.resolution
    for conv in plan.convs():
        size = output_size(size, conv)
        total += conv_macs(conv, size)
    return total


def conv_macs(conv: ConvPlan, size: int) -> int:
    """Return the multiply-accumulates of a layer with `size` x `size` outputs."""
    inputs = 1 if conv.depthwise else conv.in_channels
    return size**2 * conv.kernel**2 * inputs * conv.out_channels


def output_size(size: int, conv: ConvPlan) -> int:
    """Return the side of a layer's output; padding is kernel // 2 on every side."""
    return (size + 2 * (conv.kernel // 2) - conv.kernel) // conv.stride + 1
