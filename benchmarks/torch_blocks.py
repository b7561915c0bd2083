"""The blocks that small vision and audio networks are made of, as torch modules; layout NCHW."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

Act = Callable[[], nn.Module]
Pair = int | tuple[int, int]


def conv_norm(
    inputs: int, outputs: int, kernel: Pair = 3, stride: Pair = 1, *, groups: int = 1, act: Act | None = nn.ReLU
) -> nn.Sequential:
    """Return convolution, batch normalization and activation; padding is kernel // 2 on every side."""
    padding = kernel // 2 if isinstance(kernel, int) else (kernel[0] // 2, kernel[1] // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), *([act()] if act else []))


def depthwise_separable(inputs: int, outputs: int, stride: Pair = 1) -> nn.Sequential:
    """Return a 3x3 depthwise and a 1x1 convolution. Source: Howard et al., MobileNets, 2017."""
    return nn.Sequential(conv_norm(inputs, inputs, 3, stride, groups=inputs), conv_norm(inputs, outputs, 1))


class Residual(nn.Module):
    """Two 3x3 convolutions beside a skip, projected where shapes differ. Source: He et al., CVPR 2016."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_norm(inputs, outputs, 3, stride), conv_norm(outputs, outputs, act=None))
        alike = stride == 1 and inputs == outputs
        self.skip = nn.Identity() if alike else conv_norm(inputs, outputs, 1, stride, act=None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [N, outputs, H / stride, W / stride]."""
        return torch.relu(self.body(x) + self.skip(x))


class SqueezeExcite(nn.Module):
    """A gate a channel from the means of all, by 1x1 convolutions or, where `dense`, by dense layers.

    Source: Hu et al., CVPR 2018.
    """

    def __init__(self, channels: int, gate: Act, *, dense: bool = False, reduction: int = 4) -> None:
        super().__init__()
        hidden = channels // reduction
        layers: tuple[nn.Module, ...] = (nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))
        if dense:
            layers = (nn.Flatten(), nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), *layers, gate())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the gated [N, C, H, W]."""
        gate: torch.Tensor = self.gate(x)
        return x * gate.view(-1, x.shape[1], 1, 1)


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, optional gate, projection. Source: Sandler et al., CVPR 2018."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        expansion: int,
        kernel: int = 3,
        stride: int = 1,
        *,
        act: Act = nn.ReLU6,
        excite: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.body = nn.Sequential(
            *([conv_norm(inputs, hidden, 1, act=act)] if expansion > 1 else []),
            conv_norm(hidden, hidden, kernel, stride, groups=hidden, act=act),
            *([excite(hidden)] if excite else []),
            conv_norm(hidden, outputs, 1, act=None),
        )
        self.skips = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [N, outputs, H / stride, W / stride]."""
        y: torch.Tensor = self.body(x)
        return x + y if self.skips else y


class Shuffle(nn.Module):
    """Half of the channels through a block, then both halves interleaved. Source: Ma et al., ShuffleNet V2, 2018."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.body = nn.Sequential(
            conv_norm(half, half, 1), conv_norm(half, half, groups=half, act=None), conv_norm(half, half, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [N, C, H, W]."""
        kept, changed = x.chunk(2, 1)
        joined = torch.cat([kept, self.body(changed)], 1)
        count, channels, height, width = joined.shape
        halves = joined.view(count, 2, channels // 2, height, width)
        return halves.transpose(1, 2).reshape(count, channels, height, width)


class TemporalResidual(nn.Module):
    """Two 9-tap convolutions over time beside a projected skip. Source: Choi et al., TC-ResNet, Interspeech 2019."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv1d(inputs, outputs, 9, 2, 4, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()),
            *(nn.Conv1d(outputs, outputs, 9, 1, 4, bias=False), nn.BatchNorm1d(outputs)),
        )
        self.skip = nn.Sequential(nn.Conv1d(inputs, outputs, 1, 2, bias=False), nn.BatchNorm1d(outputs), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [N, outputs, T / 2]."""
        return torch.relu(self.body(x) + self.skip(x))
