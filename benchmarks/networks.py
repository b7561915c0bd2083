"""Networks of the literature as int8 graphs with seeded random weights: what memory and speed need, not accuracy.

    graph = plan_graph(mobilenet_v2(0.5, 144))      # benchmarks that compile
    network = network_to_proto(graph)               # benchmarks that ask `Estimate`

Weight and activation scales are chosen so that activations spread over int8 and few of them saturate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from services.compiler.importers.padding import Window, output_hw
from services.compiler.ir import ops
from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import AveragePool2D, Conv2D, DepthwiseConv2D, MaxPool2D, Op, Padding
from services.compiler.ir.tensor import DType, QuantParams, Tensor, TensorId
from services.compiler.ir.verify import verify
from services.search.space.plan import BlockPlan, ConvPlan, Plan

INPUT = QuantParams((1 / 128,), (0,))
LINEAR = QuantParams((6 / 128,), (0,))
RECTIFIED = QuantParams((6 / 255,), (-128,))
GATE = QuantParams((1 / 256,), (-128,))
# Uniform int8 weights have a deviation of 73; inputs are taken to have one of 50, outputs get one of 40.
_GAIN = 40 / (73 * 50)


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """An inverted residual block: depthwise kernel, expansion ratio, output channels, stride."""

    kernel: int
    expansion: int
    channels: int
    stride: int = 1


def mobilenet_v2(width: float, resolution: int, kernels: Sequence[int] = (3,) * 17, classes: int = 1000) -> Plan:
    """Return MobileNetV2 with one depthwise kernel size for each of its 17 blocks.

    Source: Sandler et al., CVPR 2018, table 2; channels are rounded to multiples of 8, the head is never narrowed.
    """
    rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    shapes = [(t, round_to_8(c * width), s if i == 0 else 1) for t, c, n, s in rows for i in range(n)]
    if len(kernels) != len(shapes):
        raise ValueError(f"{len(kernels)} kernels for MobileNetV2: must be {len(shapes)}, one a block")
    blocks = [Bottleneck(k, t, c, s) for k, (t, c, s) in zip(kernels, shapes, strict=True)]
    return bottlenecks(round_to_8(32 * width), blocks, resolution, classes, head=max(1280, round_to_8(1280 * width)))


def mcunet_like(resolution: int = 80, classes: int = 2) -> Plan:
    """Return a network of the shape that MCUNet's search finds: mixed kernels, wide expansions, narrow ends.

    Source of the shape: Lin et al., NeurIPS 2020, figure 11; the channels here are ours.
    """
    rows = (
        *((3, 1, 8, 1), (7, 3, 16, 2), (3, 5, 16, 1), (5, 4, 24, 2), (7, 5, 24, 1), (5, 4, 24, 1)),
        *((3, 5, 40, 2), (7, 4, 40, 1), (5, 5, 48, 1), (3, 4, 48, 1), (7, 5, 96, 2), (5, 5, 96, 1), (7, 4, 160, 1)),
    )
    return bottlenecks(16, [Bottleneck(*row) for row in rows], resolution, classes)


def bottlenecks(
    stem: int, blocks: Sequence[Bottleneck], resolution: int, classes: int, *, head: int | None = None
) -> Plan:
    """Return a stem of stride 2, the blocks, each with a residual where shapes allow it, and a 1 x 1 head."""
    made = [BlockPlan((ConvPlan("stem", 3, stem, kernel=3, stride=2),))]
    channels = stem
    for i, block in enumerate(blocks):
        hidden, out = channels * block.expansion, block.channels
        expand = (ConvPlan(f"b{i}.expand", channels, hidden, kernel=1),) if block.expansion > 1 else ()
        depthwise = ConvPlan(f"b{i}.depthwise", hidden, hidden, block.kernel, block.stride, depthwise=True)
        project = ConvPlan(f"b{i}.project", hidden, out, kernel=1, relu=False)
        made.append(BlockPlan((*expand, depthwise, project), residual=block.stride == 1 and channels == out))
        channels = out
    if head is not None:
        made.append(BlockPlan((ConvPlan("head", channels, head, kernel=1),)))
    return Plan(resolution, 3, classes, tuple(made))


def plan_graph(plan: Plan, name: str = "network", seed: int = 0, *, width: int | None = None) -> Graph:
    """Return the int8 graph of a plan; padding is kernel // 2 on every side, as in PyTorch.

    `width` is that of images which are not square; their height is the plan's resolution.
    """
    layers = Layers(name, seed)
    x = layers.input(plan.resolution, width or plan.resolution, plan.input_channels)
    for block in plan.blocks:
        skip = x
        for conv in block.convs:
            make = layers.depthwise if conv.depthwise else layers.conv
            x = make(x, conv.out_channels, conv.kernel, conv.stride, relu=conv.relu)
        if block.residual:
            x = layers.add(x, skip)
    return layers.build(layers.dense(layers.mean(x), plan.classes))


def resnet18(resolution: int = 224, classes: int = 1000, width: int = 64, seed: int = 0) -> Graph:
    """Return ResNet-18 with `width` channels in its first stage. Source: He et al., CVPR 2016, table 1."""
    layers = Layers("resnet18", seed)
    x = layers.conv(layers.input(resolution, resolution, 3), width, 7, 2)
    x = layers.max_pool(x, 3, 2)
    for stage in range(4):
        for block in range(2):
            stride, channels = 2 if stage and not block else 1, width << stage
            y = layers.conv(layers.conv(x, channels, 3, stride), channels, 3, relu=False)
            skip = layers.conv(x, channels, 1, stride, relu=False) if stage and not block else x
            x = layers.add(y, skip, relu=True)
    return layers.build(layers.dense(layers.mean(x), classes))


def round_to_8(channels: float) -> int:
    """Round to a multiple of 8, at least 8 and at most a tenth below. Source: TensorFlow's MobileNet code."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


@dataclass
class Layers:
    """Grows a graph layer by layer; weights and biases come from the seed."""

    name: str
    seed: int
    tensors: dict[TensorId, Tensor] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    inputs: list[TensorId] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def input(self, height: int, width: int, channels: int) -> TensorId:
        """Add an image of int8 pixels."""
        self.inputs.append(self.activation("input", (1, height, width, channels), INPUT))
        return self.inputs[-1]

    def conv(self, x: TensorId, channels: int, kernel: int = 1, stride: int = 1, *, relu: bool = True) -> TensorId:
        """Add a convolution with a ReLU6 where `relu`."""
        parameters = self._parameters((channels, kernel, kernel, self.channels(x)), 0, x, relu)
        return self._windowed(Conv2D, (x, *parameters), kernel, stride, relu=relu)

    def depthwise(self, x: TensorId, channels: int, kernel: int, stride: int = 1, *, relu: bool = True) -> TensorId:
        """Add a depthwise convolution; `channels` are those of `x`."""
        parameters = self._parameters((1, kernel, kernel, channels), 3, x, relu)
        return self._windowed(DepthwiseConv2D, (x, *parameters), kernel, stride, relu=relu)

    def add(self, x: TensorId, y: TensorId, *, relu: bool = False) -> TensorId:
        """Add an element-wise sum."""
        out = self.activation(self._label("add"), self.tensors[x].shape, RECTIFIED if relu else LINEAR)
        activation = Activation.RELU if relu else Activation.NONE
        return self._add_op(ops.Add(name=self._label("add"), inputs=(x, y), outputs=(out,), activation=activation))

    def squeeze_and_excite(self, x: TensorId, ratio: int = 4) -> TensorId:
        """Scale channels by gates that a small network makes of their means. Source: Hu et al., CVPR 2018."""
        channels, shape = self.channels(x), self.tensors[x].shape
        means = self.activation(self._label("squeeze"), (1, 1, 1, channels), self.tensors[x].quant)
        self._add_op(ops.Mean(name=self._label("squeeze"), inputs=(x,), outputs=(means,), axes=(1, 2)))
        sums = self.conv(self.conv(means, round_to_8(channels / ratio)), channels, relu=False)
        gates = self.activation(self._label("gates"), (1, 1, 1, channels), GATE)
        self._add_op(ops.Logistic(name=self._label("gates"), inputs=(sums,), outputs=(gates,)))
        out = self.activation(self._label("excite"), shape, self.tensors[x].quant)
        product = ops.Mul(name=self._label("excite"), inputs=(x, gates), outputs=(out,), activation=Activation.NONE)
        return self._add_op(product)

    def max_pool(self, x: TensorId, kernel: int, stride: int) -> TensorId:
        """Add a maximum over windows."""
        return self._pool(MaxPool2D, x, kernel, stride)

    def average_pool(self, x: TensorId, kernel: int, stride: int) -> TensorId:
        """Add an average over windows."""
        return self._pool(AveragePool2D, x, kernel, stride)

    def concatenate(self, *parts: TensorId) -> TensorId:
        """Join channels of tensors with one quantization."""
        _, height, width, _ = self.tensors[parts[0]].shape
        shape = (1, height, width, sum(map(self.channels, parts)))
        out = self.activation(self._label("concatenate"), shape, self.tensors[parts[0]].quant)
        return self._add_op(ops.Concatenation(name=self._label("concatenate"), inputs=parts, outputs=(out,), axis=3))

    def halves(self, x: TensorId) -> tuple[TensorId, TensorId]:
        """Cut channels in two."""
        source = self.tensors[x]
        *image, channels = source.shape
        one, other = (
            self.activation(self._label("half"), (*image, count), source.quant)
            for count in (channels // 2, channels - channels // 2)
        )
        self._add_op(ops.Split(name=self._label("halves"), inputs=(x,), outputs=(one, other), axis=3))
        return one, other

    def mean(self, x: TensorId) -> TensorId:
        """Add a mean over the image: [1, C]."""
        out = self.activation(self._label("mean"), (1, self.channels(x)), self.tensors[x].quant)
        return self._add_op(ops.Mean(name=self._label("mean"), inputs=(x,), outputs=(out,), axes=(1, 2)))

    def dense(self, x: TensorId, features: int) -> TensorId:
        """Add a fully connected layer."""
        inputs = (x, *self._parameters((features, self.channels(x)), 0, x, relu=False))
        out = self.activation(self._label("dense"), (1, features), LINEAR)
        return self._add_op(ops.FullyConnected(name=self._label("dense"), inputs=inputs, outputs=(out,)))

    def build(self, *outputs: TensorId) -> Graph:
        """Return the graph."""
        return verify(Graph(self.name, self.tensors, tuple(self.ops), tuple(self.inputs), outputs))

    def activation(self, name: str, shape: tuple[int, ...], quant: QuantParams | None) -> TensorId:
        """Add a tensor that an operator writes."""
        self.tensors[len(self.tensors)] = Tensor(name, shape, DType.INT8, quant)
        return len(self.tensors) - 1

    def channels(self, x: TensorId) -> int:
        """Return the size of the last dimension."""
        return self.tensors[x].shape[-1]

    def _windowed(
        self,
        kind: type[Conv2D] | type[DepthwiseConv2D],
        inputs: tuple[TensorId, TensorId, TensorId],
        kernel: int,
        stride: int,
        *,
        relu: bool,
    ) -> TensorId:
        padding, shape = self._reach(inputs[0], kernel, stride)
        (channels,) = self.tensors[inputs[2]].shape
        label = self._label("conv" if kind is Conv2D else "depthwise")
        out = self.activation(label, (*shape, channels), RECTIFIED if relu else LINEAR)
        activation = Activation.RELU6 if relu else Activation.NONE
        return self._add_op(
            kind(
                name=label,
                inputs=inputs,
                outputs=(out,),
                stride_hw=(stride, stride),
                padding=padding,
                activation=activation,
            )
        )

    def _pool(self, kind: type[MaxPool2D] | type[AveragePool2D], x: TensorId, kernel: int, stride: int) -> TensorId:
        padding, shape = self._reach(x, kernel, stride)
        out = self.activation(self._label("pool"), (*shape, self.channels(x)), self.tensors[x].quant)
        return self._add_op(
            kind(
                name=self._label("pool"),
                inputs=(x,),
                outputs=(out,),
                kernel_hw=(kernel, kernel),
                stride_hw=(stride, stride),
                padding=padding,
            )
        )

    def _reach(self, x: TensorId, kernel: int, stride: int) -> tuple[Padding, tuple[int, int, int]]:
        """Return padding of kernel // 2 and the output's [1, H, W]."""
        _, height, width, _ = self.tensors[x].shape
        padding = Padding(*(kernel // 2,) * 4)
        return padding, (1, *output_hw(Window((kernel, kernel), (stride, stride)), padding, (height, width)))

    def _parameters(self, shape: tuple[int, ...], axis: int, x: TensorId, relu: bool) -> tuple[TensorId, TensorId]:
        source = self.tensors[x].quant
        assert source is not None
        count, fan_in = shape[axis], int(np.prod(shape)) // shape[axis]
        gain = _GAIN * (RECTIFIED if relu else LINEAR).scale[0] / source.scale[0] / fan_in**0.5
        scales = tuple(float(np.float32(s)) for s in gain * self.random.uniform(0.7, 1.4, count))
        weights = self.random.integers(-127, 128, shape).astype(np.int8)
        bias = self.random.integers(-(1 << 11), 1 << 11, count).astype(np.int32) * max(1, int(fan_in**0.5))
        return (
            self._constant("weights", weights, QuantParams(scales, (0,) * count, axis)),
            self._constant("bias", bias.astype(np.int32), None),
        )

    def _constant(self, kind: str, data: np.ndarray, quant: QuantParams | None) -> TensorId:
        self.tensors[len(self.tensors)] = Tensor(
            self._label(kind), data.shape, DType(data.dtype.name), quant, data, True
        )
        return len(self.tensors) - 1

    def _add_op(self, op: Op) -> TensorId:
        self.ops.append(op)
        return op.output

    def _label(self, kind: str) -> str:
        return f"{kind}{len(self.ops)}"
