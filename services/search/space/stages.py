"""What the stages of a space may be: inverted bottlenecks that halve the image early, or separable blocks that do not.

An inverted bottleneck is widest inside, and holds its input and its hidden channels at a time: where images are large
it has few channels. A separable block's pointwise layer writes over its input: in the same memory it is two to three
times as wide, and images stay large for longer, which is what small images need. Which kind suits the limits is for
the space's optimization to say (strategy/optimize_space.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

KERNELS = (3, 5, 7)
WIDTHS = (0.5, 0.75, 1.0)
# The expansion ratio that stands for a separable block.
SEPARABLE = 1


@dataclass(frozen=True, slots=True)
class StageSpace:
    """What one stage may be. `channels` are its output channels at width 1 and width multiplier 1.

    All its blocks are separable, with SEPARABLE as the one expansion, or none is.
    """

    channels: int
    stride: int
    depths: tuple[int, ...]
    kernels: tuple[int, ...]
    expansions: tuple[int, ...]
    widths: tuple[float, ...] = WIDTHS

    def __post_init__(self) -> None:
        if SEPARABLE in self.expansions and len(self.expansions) > 1:
            raise ValueError(f"expansions {self.expansions}: {SEPARABLE} must be the only one of its stage")


def bottleneck_stages(resolution: int) -> Iterator[StageSpace]:
    """Yield stages of inverted bottlenecks: small expansions where the image is large, wide ones at the end.

    The stem halves the image; each further stage but the first halves it again, down to about 4 pixels.
    Source: what MCUNetV2's search found (Lin et al., NeurIPS 2021).
    """
    rows = ((16, (2, 3)), (24, (2, 3, 4)), (40, (3, 4, 6)), (64, (3, 4, 6)), (96, (3, 4, 6)))
    count = max(2, min(len(rows), (resolution // 7).bit_length()))
    for i, (channels, expansions) in enumerate(rows[:count]):
        yield StageSpace(channels, 1 if i == 0 else 2, (1, 2), KERNELS, expansions)


def separable_stages(resolution: int) -> Iterator[StageSpace]:
    """Yield stages of separable blocks: twice the channels at each halving, down to about 7 pixels.

    Kernels of 7 are left out: they cost more than a block does. Source of the shape: MobileNets (Howard et al., 2017).
    """
    count = max(2, (resolution // 14).bit_length())
    yield StageSpace(max(8, 96 >> (count - 1)), 1, (2,), (3, 5), (SEPARABLE,))
    for halvings in range(count - 2, -1, -1):
        yield StageSpace(max(8, 96 >> halvings), 2, (2, 3), (3, 5), (SEPARABLE,))
