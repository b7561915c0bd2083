"""Two hand-made networks to beat: a DS-CNN and a small MobileNetV2, each scaled down until it fits the limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from services.search.space.image import round_channels
from services.search.space.plan import BlockPlan, ConvPlan, Plan


@dataclass(frozen=True, slots=True)
class Scaled:
    """A baseline at one of its sizes."""

    name: str
    description: str
    plan: Plan


def ds_cnn_sizes(resolution: int, input_channels: int, classes: int) -> Iterator[Scaled]:
    """Yield DS-CNNs from 128 channels down to 4: a strided convolution, four depthwise-separable blocks of one width.

    Source of the shape: the keyword-spotting network of MLPerf Tiny (Zhang et al., Hello Edge, 2017). From 48
    pixels on, the second and third block halve the image as well.
    """
    strides = (1, 2, 2, 1) if resolution >= 48 else (1, 1, 1, 1)
    for channels in (128, 96, 80, 64, *range(56, 3, -4)):
        blocks = [BlockPlan((ConvPlan("stem", input_channels, channels, kernel=3, stride=2),))]
        for i, stride in enumerate(strides):
            depthwise = ConvPlan(f"b{i}.depthwise", channels, channels, 3, stride, depthwise=True)
            blocks.append(BlockPlan((depthwise, ConvPlan(f"b{i}.pointwise", channels, channels, kernel=1))))
        description = f"DS-CNN, {channels} channels, {resolution}x{resolution}"
        yield Scaled("ds-cnn", description, Plan(resolution, input_channels, classes, tuple(blocks)))


# Expansion, channels, blocks and stride of each stage: table 2 of MobileNetV2 (Sandler et al., CVPR 2018).
_MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2_sizes(resolution: int, input_channels: int, classes: int) -> Iterator[Scaled]:
    """Yield MobileNetV2 networks from width 1 down to 0.1, without the wide 1x1 convolution before the classifier.

    Images below 96 pixels are too small for all stages: then the network ends after the stage of 64 channels.
    """
    stages = _MOBILENET_V2 if resolution >= 96 else _MOBILENET_V2[:4]
    for percent in (100, 75, 50, 35, 25, 20, 15, 10):
        width = percent / 100
        description = f"MobileNetV2, width {width:g}, {resolution}x{resolution}"
        blocks = tuple(_mobilenet_v2_blocks(stages, width, input_channels))
        yield Scaled("mobilenet-v2", description, Plan(resolution, input_channels, classes, blocks))


def _mobilenet_v2_blocks(
    stages: tuple[tuple[int, int, int, int], ...], width: float, input_channels: int
) -> Iterator[BlockPlan]:
    channels = round_channels(32 * width)
    yield BlockPlan((ConvPlan("stem", input_channels, channels, kernel=3, stride=2),))
    for s, (expansion, base, depth, stage_stride) in enumerate(stages):
        outputs = round_channels(base * width)
        for b in range(depth):
            stride = stage_stride if b == 0 else 1
            yield _mobilenet_v2_block(f"s{s}b{b}", channels, outputs, expansion, stride)
            channels = outputs


def _mobilenet_v2_block(name: str, inputs: int, outputs: int, expansion: int, stride: int) -> BlockPlan:
    hidden = inputs * expansion
    expand = (ConvPlan(f"{name}.expand", inputs, hidden, kernel=1),) if expansion > 1 else ()
    convs = (
        *expand,
        ConvPlan(f"{name}.depthwise", hidden, hidden, 3, stride, depthwise=True),
        ConvPlan(f"{name}.project", hidden, outputs, kernel=1, relu=False),
    )
    return BlockPlan(convs, residual=stride == 1 and inputs == outputs)
