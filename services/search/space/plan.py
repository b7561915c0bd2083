"""The layers an architecture stands for: the one value that torch modules, ONNX files and networks are built from."""

from __future__ import annotations

from dataclasses import dataclass

from services.search.space.architecture import Architecture, Block
from services.search.space.image import ImageSpace
from services.search.space.stages import SEPARABLE


@dataclass(frozen=True, slots=True)
class ConvPlan:
    """A convolution with batch normalization and, where `relu`, a ReLU; padding is kernel // 2 on every side."""

    name: str
    in_channels: int
    out_channels: int
    kernel: int
    stride: int = 1
    depthwise: bool = False
    relu: bool = True


@dataclass(frozen=True, slots=True)
class RnnPoolPlan:
    """RNNPool: patches of `patch` x `patch` pixels, `stride` apart, become pixels of 4 * `summary` channels.

    `hidden` is the state of the sweeps over rows and columns; padding is on every side.
    """

    name: str
    in_channels: int
    hidden: int
    summary: int
    patch: int
    stride: int
    padding: int = 0

    @property
    def out_channels(self) -> int:
        """Two passes over what the rows left, two over the columns."""
        return 4 * self.summary


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """Convolutions in a row; `residual` adds the block's input to its output. A `pool` comes last."""

    convs: tuple[ConvPlan, ...]
    residual: bool = False
    pool: RnnPoolPlan | None = None

    def __post_init__(self) -> None:
        if not self.convs and self.pool is None:
            raise ValueError("a block of no layers: must have a convolution or a pool")

    def layers(self) -> tuple[ConvPlan | RnnPoolPlan, ...]:
        """Every layer with weights in execution order."""
        return (*self.convs, *([self.pool] if self.pool else []))

    @property
    def out_channels(self) -> int:
        """Channels of what the block writes."""
        return self.convs[-1].out_channels if self.pool is None else self.pool.out_channels


@dataclass(frozen=True, slots=True)
class Plan:
    """A classifier: blocks, mean over the image, one dense layer of `classes` logits.

    The input is `resolution` x `resolution` pixels of `input_channels`.
    """

    resolution: int
    input_channels: int
    classes: int
    blocks: tuple[BlockPlan, ...]

    @property
    def features(self) -> int:
        """Channels that reach the dense layer."""
        return self.blocks[-1].out_channels

    def pools(self) -> tuple[RnnPoolPlan, ...]:
        """Every RNNPool in execution order."""
        return tuple(block.pool for block in self.blocks if block.pool is not None)

    def convs(self) -> tuple[ConvPlan, ...]:
        """Every convolution in execution order."""
        return tuple(conv for block in self.blocks for conv in block.convs)


def plan_of(space: ImageSpace, architecture: Architecture) -> Plan:
    """Return the layers of an architecture of the space.

    Layer names tell stage and block (`s1b0.expand`), so that they are the same in every architecture.
    """
    stem = ConvPlan("stem", space.input_channels, space.stem_width, kernel=3, stride=2)
    blocks = [BlockPlan((stem,))]
    channels = space.stem_width
    for s, stage in enumerate(architecture.stages):
        out_channels = space.stage_channels(s, stage.width)
        for b, block in enumerate(stage.blocks):
            stride = space.stages[s].stride if b == 0 else 1
            name = f"s{s}b{b}"
            if block.expansion == SEPARABLE:
                blocks.append(BlockPlan(_separable(name, block, channels, out_channels, stride)))
            else:
                # The first block of a stage has no residual even where shapes would allow it: then the channels of
                # each stage are free to be sorted.
                blocks.append(BlockPlan(_bottleneck(name, block, channels, out_channels, stride), residual=b > 0))
            channels = out_channels
    return Plan(architecture.resolution, space.input_channels, space.classes, tuple(blocks))


def _bottleneck(
    name: str, block: Block, in_channels: int, out_channels: int, stride: int
) -> tuple[ConvPlan, ConvPlan, ConvPlan]:
    """Expand 1x1, depthwise, project 1x1 without ReLU."""
    hidden = in_channels * block.expansion
    return (
        ConvPlan(f"{name}.expand", in_channels, hidden, kernel=1),
        ConvPlan(f"{name}.depthwise", hidden, hidden, block.kernel, stride, depthwise=True),
        ConvPlan(f"{name}.project", hidden, out_channels, kernel=1, relu=False),
    )


def _separable(name: str, block: Block, in_channels: int, out_channels: int, stride: int) -> tuple[ConvPlan, ConvPlan]:
    """Depthwise, pointwise, both with a ReLU. No residual: it would keep the input from being overwritten."""
    return (
        ConvPlan(f"{name}.depthwise", in_channels, in_channels, block.kernel, stride, depthwise=True),
        ConvPlan(f"{name}.pointwise", in_channels, out_channels, kernel=1),
    )
