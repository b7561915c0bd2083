"""One network for every kind that is run on microcontrollers, as torch modules with the shape of one input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import nn

from benchmarks.networks import round_to_8
from benchmarks.torch_blocks import (
    Act,
    InvertedResidual,
    Residual,
    Shuffle,
    SqueezeExcite,
    TemporalResidual,
    conv_norm,
    depthwise_separable,
)

# A module and the shape [C, H, W], [C, T] or [C] of a sample.
Network = tuple[nn.Module, tuple[int, ...]]

_POOLED = (nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Detector(nn.Module):
    """An SSD-like detector: three scales joined by upsampling, one head each, `merged` into a list of boxes."""

    def __init__(self, *, merged: bool) -> None:
        super().__init__()
        self.merged = merged
        self.stem = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 16, 3, 2), nn.BatchNorm2d(16), nn.ReLU6())
        self.fine = nn.Sequential(
            *(InvertedResidual(16, 16, 2, stride=2), InvertedResidual(16, 16, 2)),
            *(InvertedResidual(16, 32, 3, stride=2), InvertedResidual(32, 32, 3)),
        )
        self.middle = InvertedResidual(32, 48, 3, stride=2)
        self.coarse = InvertedResidual(48, 64, 3, stride=2)
        self.to_middle, self.to_fine = conv_norm(64, 48, 1, act=nn.ReLU6), conv_norm(96, 32, 1, act=nn.ReLU6)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.heads = nn.ModuleList(nn.Conv2d(channels, 18, 1) for channels in (64, 96, 64))

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Return three maps [N, 18, H, W], fine to coarse, or boxes [N, count, 6]."""
        fine = self.fine(self.stem(x))
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        middle = torch.cat([self.up(self.to_middle(coarse)), middle], 1)
        fine = torch.cat([self.up(self.to_fine(middle)), fine], 1)
        boxes = [head(scale) for head, scale in zip(self.heads, (fine, middle, coarse), strict=True)]
        if not self.merged:
            return tuple(boxes)
        return torch.cat([b.permute(0, 2, 3, 1).reshape(b.shape[0], -1, 6) for b in boxes], 1)


class TemporalResNet(nn.Module):
    """TC-ResNet8 on 40 features of 98 frames."""

    def __init__(self) -> None:
        super().__init__()
        blocks = [TemporalResidual(i, o) for i, o in ((16, 24), (24, 32), (32, 48))]
        self.body = nn.Sequential(nn.Conv1d(40, 16, 3, padding=1, bias=False), *blocks)
        self.classifier = nn.Linear(48, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return scores [N, 12]."""
        scores: torch.Tensor = self.classifier(self.body(x).mean(-1))
        return scores


class UNet(nn.Module):
    """A segmenter of two scales: ConvTranspose back up, joined with what was there."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = conv_norm(3, 8), conv_norm(8, 16, 3, 2)
        self.up, self.head = nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.Conv2d(16, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a map of classes [N, 2, H, W]."""
        fine = self.fine(x)
        classes: torch.Tensor = self.head(torch.cat([fine, torch.relu(self.up(self.coarse(fine)))], 1))
        return classes


def excited(gate: Act, act: Act, *, dense: bool, side: int = 224) -> Network:
    """Return a network with squeeze-and-excite blocks in the manner of MobileNetV3."""
    excite = partial(SqueezeExcite, gate=gate, dense=dense)
    body = nn.Sequential(
        conv_norm(3, 16, 3, 2, act=act),
        InvertedResidual(16, 16, 1, 3, 2, act=nn.ReLU, excite=excite),
        InvertedResidual(16, 24, 4, 3, 2, act=act),
        InvertedResidual(24, 24, 3, 3, 1, act=act, excite=excite),
        InvertedResidual(24, 40, 4, 5, 2, act=act, excite=excite),
        InvertedResidual(40, 40, 3, 5, 1, act=act, excite=excite),
        conv_norm(40, 96, 1, act=act),
    )
    return nn.Sequential(body, *_POOLED, nn.Linear(96, 64), act(), nn.Linear(64, 10)), (3, side, side)


def resnet(widths: Sequence[int], blocks: int, side: int, *, large_stem: bool = False) -> Network:
    """Return a ResNet with `blocks` blocks a stage, behind a 3x3 or, for large images, a 7x7 stem with pooling."""
    first = widths[0]
    stem = [conv_norm(3, first, 7, 2), nn.MaxPool2d(3, 2, 1)] if large_stem else [conv_norm(3, first)]
    channels = [first, *(w for w in widths for _ in range(blocks))]
    stages = [
        Residual(channels[i], channels[i + 1], 2 if i and i % blocks == 0 else 1) for i in range(blocks * len(widths))
    ]
    return nn.Sequential(*stem, *stages, *_POOLED, nn.Linear(widths[-1], 10)), (3, side, side)


def mobilenet_v1(width: float, side: int, classes: int) -> Network:
    """Return MobileNetV1. Source: Howard et al., 2017, table 1."""
    rows = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    channels = [max(8, int(c * width)) for c in (32, *(c for c, _ in rows))]
    blocks = [depthwise_separable(channels[i], channels[i + 1], stride) for i, (_, stride) in enumerate(rows)]
    end = (nn.AvgPool2d(side // 32), nn.Flatten(), nn.Linear(channels[-1], classes), nn.Softmax(1))
    return nn.Sequential(conv_norm(3, channels[0], 3, 2), *blocks, *end), (3, side, side)


def mobilenet_v2_blocks(width: float, count: int = 17) -> tuple[list[nn.Module], int]:
    """Return the stem and the first `count` blocks of MobileNetV2, and the channels that they end with."""
    rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    channels = round_to_8(32 * width)
    layers: list[nn.Module] = [conv_norm(3, channels, 3, 2, act=nn.ReLU6)]
    for expansion, outputs, stride in [(t, c, s if i == 0 else 1) for t, c, n, s in rows for i in range(n)][:count]:
        layers.append(InvertedResidual(channels, round_to_8(outputs * width), expansion, stride=stride))
        channels = round_to_8(outputs * width)
    return layers, channels


def mobilenet_v2(width: float, side: int) -> Network:
    """Return MobileNetV2 with ten classes and a head as narrow as the rest."""
    layers, channels = mobilenet_v2_blocks(width)
    head = round_to_8(1280 * width)
    return nn.Sequential(*layers, conv_norm(channels, head, 1, act=nn.ReLU6), *_POOLED, nn.Linear(head, 10)), (
        3,
        side,
        side,
    )


def fomo() -> Network:
    """Return a map of classes over an eighth of the image. Source: Edge Impulse's FOMO, MobileNetV2 0.35 cut off."""
    layers, channels = mobilenet_v2_blocks(0.35, 4)
    head = (nn.Conv2d(channels, 32, 1), nn.ReLU(), nn.Conv2d(32, 3, 1), nn.Softmax(1))
    return nn.Sequential(*layers, *head), (3, 96, 96)


def ds_cnn(channels: int, blocks: int) -> Network:
    """Return a keyword spotter on 49 frames of 10 features. Source: Zhang et al., Hello Edge, 2017."""
    first = nn.Sequential(nn.Conv2d(1, channels, (10, 4), (2, 1), (5, 1)), nn.BatchNorm2d(channels), nn.ReLU())
    rest = [depthwise_separable(channels, channels, 1 if i else 2) for i in range(blocks)]
    return nn.Sequential(first, *rest, *_POOLED, nn.Linear(channels, 12), nn.Softmax(1)), (1, 49, 10)


def dense_autoencoder() -> Network:
    """Return the anomaly detector of MLPerf Tiny: 640 features through 8."""
    sizes = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128)
    hidden = [nn.Sequential(nn.Linear(i, o), nn.BatchNorm1d(o), nn.ReLU()) for i, o in pairwise(sizes)]
    return nn.Sequential(*hidden, nn.Linear(128, 640)), (640,)


def conv_autoencoder(*decoder: nn.Module) -> Network:
    """Return an autoencoder of one-channel images of 32 x 32 pixels; the decoder reads [16, 8, 8]."""
    return nn.Sequential(conv_norm(1, 8, 3, 2), conv_norm(8, 16, 3, 2), *decoder), (1, 32, 32)


def deconvolving_autoencoder() -> Network:
    """Return an autoencoder whose decoder is two transposed convolutions."""
    first, second = nn.ConvTranspose2d(16, 8, 3, 2, 1, 1), nn.ConvTranspose2d(8, 1, 2, 2)
    return conv_autoencoder(first, nn.ReLU(), second, nn.Sigmoid())


def upsampling_autoencoder(mode: str) -> Network:
    """Return an autoencoder whose decoder scales up by that rule, then convolves."""
    ups = [nn.Upsample(scale_factor=2, mode=mode) for _ in range(2)]
    return conv_autoencoder(ups[0], conv_norm(16, 8), ups[1], nn.Conv2d(8, 1, 3, padding=1), nn.Sigmoid())


def shuffled() -> Network:
    """Return a small network of shuffle blocks."""
    blocks = (conv_norm(3, 16, 3, 2), Shuffle(16), Shuffle(16))
    return nn.Sequential(*blocks, *_POOLED, nn.Linear(16, 4)), (3, 48, 48)


FAMILIES: Mapping[str, Callable[[], Network]] = {
    "detector 128x160, three heads": lambda: (Detector(merged=False), (3, 128, 160)),
    "detector 128x160, list of boxes": lambda: (Detector(merged=True), (3, 128, 160)),
    "SE 224, hard sigmoid by 1x1 conv": lambda: excited(nn.Hardsigmoid, nn.Hardswish, dense=False),
    "SE 224, sigmoid by dense layers": lambda: excited(nn.Sigmoid, nn.Hardswish, dense=True),
    "SE 96, SiLU": lambda: excited(nn.Sigmoid, nn.SiLU, dense=False, side=96),
    "ResNet-32 on 32x32": lambda: resnet((16, 32, 64), 5, 32),
    "ResNet 0.75 on 144x144": lambda: resnet((48, 96, 192, 384), 2, 144, large_stem=True),
    "ResNet 0.75 on 188x188": lambda: resnet((48, 96, 192, 384), 2, 188, large_stem=True),
    "MobileNetV1 0.25/96": lambda: mobilenet_v1(0.25, 96, 2),
    "MobileNetV1 1.0/224": lambda: mobilenet_v1(1.0, 224, 10),
    "MobileNetV2 0.35/160": lambda: mobilenet_v2(0.35, 160),
    "MobileNetV2 1.0/224": lambda: mobilenet_v2(1.0, 224),
    "FOMO 96": fomo,
    "DS-CNN M": lambda: ds_cnn(172, 5),
    "DS-CNN L": lambda: ds_cnn(276, 5),
    "TC-ResNet8": lambda: (TemporalResNet(), (40, 98)),
    "autoencoder, dense": dense_autoencoder,
    "autoencoder, ConvTranspose": deconvolving_autoencoder,
    "autoencoder, nearest": lambda: upsampling_autoencoder("nearest"),
    "autoencoder, bilinear": lambda: upsampling_autoencoder("bilinear"),
    "U-Net, ConvTranspose": lambda: (UNet(), (3, 32, 32)),
    "shuffled channels": shuffled,
}
