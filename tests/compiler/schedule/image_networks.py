"""Random networks over images: long runs of what can be streamed and cut into patches, and between them what cannot.

A network is drawn again by its number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from services.compiler.importers.supported import refusals
from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Padding
from services.compiler.ir.tensor import DType, TensorId
from tests.compiler.graph_maker import GraphMaker, Pair
from tests.cores.core_graphs import Strain

T = TypeVar("T")
_KERNELS: tuple[Pair, ...] = ((1, 1), (3, 3), (3, 3), (5, 5), (7, 7), (2, 2), (1, 3), (5, 3), (2, 4))
_STRIDES: tuple[Pair, ...] = ((1, 1), (1, 1), (1, 1), (2, 2), (1, 2), (2, 1), (3, 2))
_MOST_ELEMENTS = 9000


def image_network(number: int) -> Graph:
    """Return network `number`: one of twelve has activations of int16, one of six many weights of int4, one of five
    images much wider than high, three of seven average images by pools whose window is the image, not by means.
    """
    for attempt in range(20):
        random = np.random.default_rng((number, attempt))
        graph = _Drawing(random, f"n{number:05}", *_types(number), number % 5 == 1, number % 7 in (1, 3, 6)).draw()
        if not refusals(graph):
            return graph
    raise AssertionError(f"network {number} is refused whatever is drawn")


def _types(number: int) -> tuple[DType, DType]:
    match number % 12:
        case 3:
            return DType.INT16, DType.INT8
        case 7 | 11:
            return DType.INT8, DType.INT4
        case _:
            return DType.INT8, DType.INT8


@dataclass
class _Drawing:
    """One network being drawn, from the input down: `x` is the newest tensor."""

    random: np.random.Generator
    name: str
    activations: DType
    weights: DType
    wide_images: bool
    pools_images: bool
    seen: list[TensorId] = field(default_factory=list)

    def __post_init__(self) -> None:
        wide = self.activations is DType.INT16
        seed, wild = int(self.random.integers(1 << 20)), not wide and self.random.random() < 0.3
        self.m = GraphMaker(seed=seed, name=self.name, activations=self.activations, wild=wild)
        self.strain = None if wide or self.random.random() < 0.6 else Strain(self.m, seed)

    def draw(self) -> Graph:
        """Return the network: its blocks, then often a classifier, at times with a second output."""
        h, w = (
            int(n)
            for n in self.random.integers((1, 24) if self.wide_images else 5, (9, 65) if self.wide_images else 33, 2)
        )
        x = self.m.input(1, h, w, int(self.random.integers(1, 5)))
        x = self.conv(x)
        for _ in range(int(self.random.integers(2, 9))):
            x = self.block(x)
        outputs = [x]
        if self.random.random() < 0.4:
            outputs = [self.m.dense(self.averaged(x, keep=False), int(self.random.integers(1, 9)))]
        if self.random.random() < 0.2:
            outputs.append(self.pick(self.seen))
        return self.m.build(*dict.fromkeys(outputs))

    def block(self, x: TensorId) -> TensorId:
        """Add a block whose output is not too large; where an operator does not fit its input, a convolution."""
        blocks: list[Callable[[TensorId], TensorId]] = [
            self.conv, self.depthwise, self.bottleneck, self.bottleneck, self.residual, self.branches, self.pooled,
            self.activated, self.arithmetic,
        ]  # fmt: skip
        if self.activations is DType.INT8:
            blocks += [self.padded, self.sliced, self.split, self.extremum, self.sloped]
            blocks += [self.gated] if self.random.random() < 0.5 else []
            blocks += [self.resized, self.rnn_pooled] if self.random.random() < 0.3 else []
        y = self.pick(blocks)(x)
        if self.m.tensors[y].elements > _MOST_ELEMENTS:
            y = self.m.pool("max", y, (2, 2), (2, 2))
        self.seen.append(y)
        return y

    # blocks
    def conv(self, x: TensorId) -> TensorId:
        kernel, stride, dilation = self.pick(_KERNELS), self.pick(_STRIDES), self.dilation()
        padding = self.padding(x, kernel, dilation)
        y = self.m.conv2d(
            x, int(self.random.integers(1, 13)), kernel, stride, dilation, padding, self.relu(),
            bias=bool(self.random.random() < 0.8), weights=self.weighted(),
        )  # fmt: skip
        return self.strained(y)

    def pointwise(self, x: TensorId, channels: int) -> TensorId:
        return self.strained(self.m.conv2d(x, channels, (1, 1), activation=self.relu(), weights=self.weighted()))

    def depthwise(self, x: TensorId, stride: Pair | None = None) -> TensorId:
        kernel, dilation = self.pick(_KERNELS[1:]), self.dilation()
        free = stride is None
        y = self.m.depthwise(
            x, self.pick((1, 1, 1, 2)) if free else 1, kernel, self.pick(_STRIDES) if stride is None else stride,
            dilation, self.padding(x, kernel, dilation) if free else None, self.relu(), self.weighted(),
        )  # fmt: skip
        return self.strained(y)

    def bottleneck(self, x: TensorId, stride: Pair | None = None, channels: int | None = None) -> TensorId:
        wide = self.pointwise(x, int(self.random.integers(4, 25)))
        sums = self.depthwise(wide, self.pick(_STRIDES) if stride is None else stride)
        return self.pointwise(sums, channels or int(self.random.integers(1, 13)))

    def residual(self, x: TensorId) -> TensorId:
        y = self.bottleneck(x, (1, 1), self.m.shape(x)[3])
        return self.m.binary(self.pick(("add", "add", "sub", "mul")), *self.shuffled(x, y), self.relu())

    def branches(self, x: TensorId) -> TensorId:
        """Two ways from one tensor, of one shape, joined side by side or by arithmetic."""
        one, other = self.m.conv2d(x, 4, (3, 3)), self.m.depthwise(self.m.conv2d(x, 4, (1, 1)), 1, (5, 5))
        if self.random.random() < 0.5:
            return self.m.binary("add", one, other)
        parts = (one, self.m.pool("max", one, (3, 3)))
        return self.m.concatenate(self.shuffled(*parts), self.pick((1, 2, 3)))

    def pooled(self, x: TensorId) -> TensorId:
        return self.m.pool(self.pick(("average", "max")), x, self.pick(((2, 2), (3, 3), (1, 3))), self.pick(_STRIDES))

    def activated(self, x: TensorId) -> TensorId:
        kinds = ["logistic", "tanh", "relu"]
        kinds += ["hard_swish", "leaky_relu"] if self.activations is DType.INT8 else []
        kind = self.pick(kinds)
        return self.m.unary(kind, x, **({"alpha": 0.2} if kind == "leaky_relu" else {}))

    def arithmetic(self, x: TensorId) -> TensorId:
        """With a function of the tensor itself, or where numbers can be constants, with one a channel."""
        kind = self.pick(("add", "sub", "mul"))
        if self.activations is DType.INT8 and self.random.random() < 0.5:
            data = self.random.integers(-128, 128, self.m.shape(x)[3:]).astype(np.int8)
            return self.m.binary(kind, *self.shuffled(x, self.m.constant(data, self.m.quant())), self.relu())
        return self.m.binary(kind, *self.shuffled(x, self.activated(x)), self.relu())

    def gated(self, x: TensorId) -> TensorId:
        """Squeeze and excite: gates of the channels times the image."""
        gates = self.m.unary("logistic", self.m.conv2d(self.averaged(x), self.m.shape(x)[3], (1, 1)))
        return self.m.binary("mul", x, gates)

    def averaged(self, x: TensorId, *, keep: bool = True) -> TensorId:
        return self.m.global_pool(x, self.relu()) if self.pools_images else self.m.mean(x, (1, 2), keep=keep)

    def padded(self, x: TensorId) -> TensorId:
        sides = [int(n) for n in self.random.integers(0, 3, 4)]
        return self.m.pad(x, (0, sides[0], sides[1], 0), (0, sides[2], sides[3], 0))

    def sliced(self, x: TensorId) -> TensorId:
        shape = self.m.shape(x)
        begin = tuple(int(self.random.integers(0, max(1, d // 3))) for d in shape)
        end = tuple(int(self.random.integers(max(b + 1, d - 2), d + 1)) for b, d in zip(begin, shape, strict=True))
        return self.m.slice(x, begin, end, (1, *(self.pick((1, 1, 2)) for _ in shape[1:])))

    def split(self, x: TensorId) -> TensorId:
        """In two along columns or channels; both parts are looked at again."""
        axis = self.pick((2, 3))
        size = self.m.shape(x)[axis]
        if size < 2:
            return self.activated(x)
        cut = int(self.random.integers(1, size))
        one, other = self.m.split(x, axis, (cut, size - cut))
        self.seen.append(one)
        return self.m.concatenate((other, one), axis) if self.coin() else other

    def extremum(self, x: TensorId) -> TensorId:
        return self.m.binary(self.pick(("maximum", "minimum")), x, self.m.pool("average", x, (2, 2)))

    def sloped(self, x: TensorId) -> TensorId:
        return self.m.prelu(x, (self.m.shape(x)[3],))

    def resized(self, x: TensorId) -> TensorId:
        _, h, w, _ = self.m.shape(x)
        up = self.pick((1, 2, 2, 3))
        return self.m.resize(x, h * up, w * up, half=self.coin(), bilinear=self.coin())

    def rnn_pooled(self, x: TensorId) -> TensorId:
        _, h, w, _ = self.m.shape(x)
        patch = min(h, int(self.random.integers(1, 6))), min(w, int(self.random.integers(1, 6)))
        return self.m.rnn_pool(x, int(self.random.integers(1, 7)), int(self.random.integers(1, 4)), patch, (2, 2))

    # what blocks are drawn from
    def pick(self, things: Sequence[T]) -> T:
        return things[int(self.random.integers(len(things)))]

    def coin(self) -> bool:
        return bool(self.random.random() < 0.5)

    def shuffled(self, one: TensorId, other: TensorId) -> tuple[TensorId, TensorId]:
        return (one, other) if self.coin() else (other, one)

    def relu(self) -> Activation:
        return self.pick((Activation.NONE, Activation.NONE, Activation.RELU, Activation.RELU6))

    def dilation(self) -> Pair:
        return self.pick(((1, 1), (1, 1), (1, 1), (1, 1), (2, 2), (2, 1)))

    def weighted(self) -> DType:
        return DType.INT4 if self.weights is DType.INT4 and self.coin() else DType.INT8

    def padding(self, x: TensorId, kernel: Pair, dilation: Pair) -> Padding | None:
        """Mostly that of SAME, sometimes any that leaves an output."""
        if self.random.random() < 0.7:
            return None
        top, bottom, left, right = (int(n) for n in self.random.integers(0, 3, 4))
        _, h, w, _ = self.m.shape(x)
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        fits = h + top + bottom >= reach[0] and w + left + right >= reach[1]
        return Padding(top, bottom, left, right) if fits else None

    def strained(self, y: TensorId) -> TensorId:
        if self.strain is not None and self.coin():
            self.strain.apply(self.m.ops[-1])
        return y
