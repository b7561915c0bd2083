"""Whole float networks, quantized and imported: reference against onnxruntime, and the graph's operators.

Named networks have a bound in steps of the output: each layer may round one step apart, and what follows may enlarge
that (where coarse averages feed a fine output, one step in becomes several out). Random ones are held to their spread.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.compiler.ir.text import print_graph
from services.compiler.quantize import quantize_onnx
from tests.compiler.importers.onnx.agreement import compare
from tests.compiler.quantize.float_models import FloatBuilder, export_torch

torch = pytest.importorskip("torch", reason="the exporter under test is torch's")
nn = torch.nn

EXAMPLES = 12 * int(os.environ.get("TINYFARM_FUZZ_EXAMPLES", "1"))


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, act: Any = None) -> Any:
    parts = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*parts, *([act()] if act else []))


class Residual(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self, body: Any) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Any) -> Any:
        return x + self.body(x)


class SqueezeExcite(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, 4, 1), nn.ReLU(), nn.Conv2d(4, channels, 1), nn.Sigmoid()
        )

    def forward(self, x: Any) -> Any:
        return x * self.gate(x)


class Branches(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self, *branches: Any) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Any) -> Any:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def _inverted(channels: int, expanded: int, kernel: int, act: Any) -> Any:
    return Residual(
        nn.Sequential(
            _conv(channels, expanded, 1, act=act),
            _conv(expanded, expanded, kernel, groups=expanded, act=act),
            _conv(expanded, channels, 1),
        )
    )


def _head(channels: int, classes: int = 10) -> tuple[Any, ...]:
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)


# Name -> (module, input [C, H, W], most steps apart, operators between the edges).
NETWORKS: dict[str, tuple[Callable[[], Any], tuple[int, ...], float, str]] = {
    "mobile blocks": (
        lambda: nn.Sequential(_conv(3, 8, 3, 2, act=nn.ReLU6), _inverted(8, 24, 5, nn.ReLU6), *_head(8)),
        (3, 24, 24),
        2,
        "Conv2D Conv2D DepthwiseConv2D Conv2D Add Mean FullyConnected",
    ),
    "mobile blocks with hard swish": (
        lambda: nn.Sequential(_conv(3, 8, 3, 2, act=nn.Hardswish), _inverted(8, 16, 3, nn.Hardswish), *_head(8)),
        (3, 16, 16),
        3,
        "Conv2D Table Conv2D Table DepthwiseConv2D Table Conv2D Add Mean FullyConnected",
    ),
    "DS-CNN": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 16, (10, 4), (2, 2), (4, 1)),
            nn.ReLU(),
            _conv(16, 16, 3, groups=16, act=nn.ReLU),
            _conv(16, 16, 1, act=nn.ReLU),
            nn.AvgPool2d((5, 5)),
            nn.Flatten(),
            nn.Linear(16 * 4, 12),
            nn.Softmax(dim=1),
        ),
        (1, 49, 10),
        2,
        "Conv2D DepthwiseConv2D Conv2D AveragePool2D FullyConnected Softmax",
    ),
    "squeeze and excite": (
        lambda: nn.Sequential(_conv(3, 8, 3, act=nn.ReLU), SqueezeExcite(8), _conv(8, 8, 3, 2), *_head(8)),
        (3, 12, 12),
        3,
        "Conv2D Mean Conv2D Conv2D Table Mul Conv2D Mean FullyConnected",
    ),
    "flattened image": (
        lambda: nn.Sequential(_conv(1, 6, 3, act=nn.ReLU), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(6 * 36, 10)),
        (1, 12, 12),
        2,
        "Conv2D MaxPool2D FullyConnected",
    ),
    "autoencoder": (
        lambda: nn.Sequential(
            nn.Linear(40, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 40)
        ),
        (40,),
        2,
        "FullyConnected FullyConnected FullyConnected",
    ),
    "branches and upsampling": (
        lambda: nn.Sequential(
            _conv(3, 4, 3, act=nn.ReLU),
            Branches(_conv(4, 4, 1), _conv(4, 6, 3)),
            nn.Upsample(scale_factor=2),
            _conv(10, 4, 1),
        ),
        (3, 8, 8),
        3,
        "Conv2D Conv2D Conv2D Quantize Concatenation ResizeNearestNeighbor Conv2D",
    ),
    "1-D convolutions": (
        lambda: nn.Sequential(
            nn.Conv1d(6, 8, 5, 2, 2),
            nn.ReLU(),
            nn.Conv1d(8, 8, 3, padding=1, groups=8),
            nn.MaxPool1d(2),
            nn.Flatten(),
            nn.Linear(80, 5),
        ),
        (6, 40),
        2,
        "Reshape Conv2D DepthwiseConv2D MaxPool2D FullyConnected",
    ),
    "leaky relu and tanh": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 6, 3, padding=1), nn.LeakyReLU(0.1), nn.Conv2d(6, 6, 3), nn.Tanh(), *_head(6)
        ),
        (2, 9, 9),
        3,
        "Conv2D Table Conv2D Table Mean FullyConnected",
    ),
}


def _trained(module: Any, seed: int) -> Any:
    """Random weights and batch statistics that are not those of initialization."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d | nn.BatchNorm1d):
            part.running_mean.normal_(0, 0.3, generator=generator)
            part.running_var.uniform_(0.5, 2.0, generator=generator)
            part.weight.data.uniform_(0.5, 1.5, generator=generator)
    return module


@pytest.mark.parametrize("network", NETWORKS)
def test_exported_network_becomes_these_operators_and_agrees(network: str) -> None:
    make, shape, bound, operators = NETWORKS[network]
    torch.manual_seed(1)
    torch.set_num_threads(1)
    model = export_torch(_trained(make(), 1), shape)
    calibration = np.random.default_rng(2).normal(size=(32, *shape)).astype(np.float32)
    agreement = compare(quantize_onnx(model, calibration), samples=16, seed=3, spread=1.0)
    kinds = [op.kind for op in agreement.graph.ops]
    edges = [k for k in kinds if k in ("Transpose", "Dequantize")] + kinds[:1]
    inner = [k for k in kinds[1:] if k not in ("Transpose", "Dequantize")]
    inner = inner[1:] if len(shape) == 3 and shape[0] == 1 else inner  # the Reshape of a one-channel image
    assert " ".join(inner) == operators, print_graph(agreement.graph)
    assert len(edges) <= 4
    assert agreement.worst_lsb <= bound + 0.001
    assert agreement.argmax_equal >= agreement.samples - 1


@st.composite
def float_cnn(draw: st.DrawFn) -> tuple[bytes, tuple[int, ...]]:
    """A random network of up to six layers on a random image."""
    side, channels = draw(st.integers(6, 14)), draw(st.sampled_from([1, 2, 3]))
    b = FloatBuilder(draw(st.integers(0, 999)), ("n", channels, side, side + 2))
    x, width, size = "x", channels, (side, side + 2)
    for layer in draw(st.lists(st.sampled_from(_LAYERS), min_size=1, max_size=6)):
        kernel, stride = draw(st.sampled_from([1, 3, 5])), draw(st.sampled_from([1, 2]))
        match layer:
            case "conv":
                outputs = draw(st.integers(2, 9))
                x, width = b.conv(x, width, outputs, kernel, stride), outputs
                size = _strided(size, stride)
            case "depthwise":
                x, size = b.conv(x, width, width, kernel, stride, group=width), _strided(size, stride)
            case "residual":
                x = b.node("Add", [x, b.node("Relu", [b.conv(x, width, width, kernel)])])
            case "pool":
                kind = draw(st.sampled_from(["MaxPool", "AveragePool"]))
                x = b.node(kind, [x], kernel_shape=[3, 3], strides=[stride] * 2, pads=[1, 1, 1, 1])
                size = _strided(size, stride)
            case "gate":
                gate = b.node("Sigmoid", [b.conv(b.node("GlobalAveragePool", [x]), width, width, 1)])
                x = b.node("Mul", [x, gate])
            case "concat":
                x, width = b.node("Concat", [x, b.conv(x, width, 3, 1)], axis=1), width + 3
            case _:
                x = b.node(layer, [x])
    if draw(st.booleans()):
        flat, features = b.node("Flatten", [b.node("GlobalAveragePool", [x])]), width
    else:
        flat, features = b.node("Flatten", [x]), width * size[0] * size[1]
    return b.build(b.dense(flat, features, 7)), (channels, side, side + 2)


_LAYERS = ["conv", "conv", "depthwise", "residual", "pool", "gate", "concat", "Relu", "LeakyRelu", "HardSwish"]


def _strided(size: tuple[int, int], stride: int) -> tuple[int, int]:
    return -(-size[0] // stride), -(-size[1] // stride)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="TINYFARM_FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
@given(float_cnn())
def test_random_network_differs_by_a_step_and_a_tenth_of_its_spread(network: tuple[bytes, tuple[int, ...]]) -> None:
    model, shape = network
    calibration = np.random.default_rng(2).normal(size=(8, *shape)).astype(np.float32)
    agreement = compare(quantize_onnx(model, calibration), samples=2, seed=3, spread=1.0)
    assert agreement.rms_lsb <= 1 + 0.1 * agreement.spread_lsb, print_graph(agreement.graph)
