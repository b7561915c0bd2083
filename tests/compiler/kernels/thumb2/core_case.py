"""A case of the kernels of a core: a graph that is made, and tuned to numbers that are hard to get right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Conv2D, DepthwiseConv2D, FullyConnected, Padding
from services.compiler.ir.tensor import DType, QuantParams, TensorId
from tests.compiler.graph_maker import GraphMaker

NO_PADDING = Padding()
RELU, RELU6 = Activation.RELU, Activation.RELU6
Int8s = npt.NDArray[np.int8]
Step = Callable[[GraphMaker, TensorId], TensorId]
Tune = Callable[[GraphMaker, TensorId], None]


@dataclass(frozen=True)
class CoreCase:
    """A graph and whether the Thumb-2 kernels do without portable ones for it."""

    make: Callable[[GraphMaker], Graph]
    covered: bool = True
    activations: DType = DType.INT8

    def graph(self, number: int) -> Graph:
        """Return the graph, under a name of its own; the number is also the seed."""
        return self.make(GraphMaker(seed=number, name=f"c{number:04}", activations=self.activations))


def one(step: Step, *shape: int, covered: bool = True) -> CoreCase:
    """A graph of one input and what `step` makes of it."""
    return tuned(step, shape, lambda m, _: spread(m), covered=covered)


def tuned(step: Step, shape: tuple[int, ...], tune: Tune, **kw: bool) -> CoreCase:
    """The same, with `tune` changing tensors of the last operator after it was made."""

    def make(m: GraphMaker) -> Graph:
        y = step(m, m.input(*shape))
        tune(m, y)
        return m.build(y)

    return CoreCase(make, **kw)


def set_output(m: GraphMaker, y: TensorId, scale: float, zero_point: int) -> None:
    m.tensors[y] = replace(m.tensors[y], quant=QuantParams((scale,), (zero_point,)))


def spread(m: GraphMaker) -> None:
    """Give every weighted operator an output scale at which random inputs fill int8 without saturating much."""
    for op in m.ops:
        if isinstance(op, Conv2D | DepthwiseConv2D | FullyConnected):
            x, weights = m.same_quant(op.inputs[0]), m.tensors[op.inputs[1]]
            assert weights.quant is not None
            taps = np.prod(weights.shape[1:3] if isinstance(op, DepthwiseConv2D) else weights.shape[1:])
            deviation = 73 * float(np.hypot(73, x.zero_point[0])) * float(taps) ** 0.5
            scale = x.scale[0] * max(weights.quant.scale) * deviation / 50
            m.tensors[op.output] = replace(m.tensors[op.output], quant=QuantParams((scale,), m.quant().zero_point))


def real_multiplier(m: GraphMaker, y: TensorId, factor: float, zero_point: int = 3) -> None:
    """Let every channel's multiplier be `factor`, and sums be of raw inputs."""
    x, w = m.ops[-1].inputs[:2]
    weights = m.tensors[w]
    assert weights.quant is not None
    m.tensors[x] = replace(m.tensors[x], quant=QuantParams((0.05,), (0,)))
    scales = (0.01,) * len(weights.quant.scale)
    m.tensors[w] = replace(weights, quant=replace(weights.quant, scale=scales))
    set_output(m, y, 0.05 * 0.01 / factor, zero_point)


def set_weights(m: GraphMaker, value: int | Callable[[Int8s], npt.NDArray[np.generic]]) -> None:
    """Set the last operator's weights, with output channels on axis 0."""
    w = m.ops[-1].inputs[1]
    data = m.tensors[w].data
    assert data is not None
    axis = 3 if isinstance(m.ops[-1], DepthwiseConv2D) else 0
    by_channel = np.moveaxis(data.astype(np.int8), axis, 0)
    new = np.full_like(by_channel, value) if isinstance(value, int) else value(by_channel.copy())
    m.tensors[w] = replace(m.tensors[w], data=np.ascontiguousarray(np.moveaxis(new, 0, axis)).astype(np.int8))


def set_bias(m: GraphMaker, value: Callable[[int], float]) -> None:
    b = m.ops[-1].inputs[2]
    values = [round(value(c)) for c in range(m.tensors[b].shape[0])]
    m.tensors[b] = replace(m.tensors[b], data=np.array(values, np.int64).astype(np.int32))


def shifted_by(shift: int, zero_point: int = 3) -> Tune:
    """Right shift `shift` in every channel, and biases about a tie of the last rounding, so that results differ.

    Even channels hold sums up to 2^30 in the matrix kernels, odd ones up to 2^23.
    """

    def tune(m: GraphMaker, y: TensorId) -> None:
        factor = 0.75 * 2.0**-shift
        real_multiplier(m, y, factor, zero_point)
        if shift < 9:
            set_weights(m, np.sign)

        def tie(channel: int) -> float:
            limit = 0.98 * 2**30 if channel % 2 == 0 else 2**22
            steps = (2.5, -1.5, 0.5, -0.5, 1.5, 0.5)[channel]
            return next((k / factor for k in (steps, 0.5) if abs(k) / factor < limit), 0.0)

        set_bias(m, tie)

    return tune


def conv(channels: int, kernel: tuple[int, int], stride: int = 1, **kw: object) -> Step:
    return lambda m, x: m.conv2d(x, channels, kernel, (stride, stride), **kw)  # type: ignore[arg-type]


def depthwise(kernel: tuple[int, int], stride: tuple[int, int] = (1, 1), **kw: object) -> Step:
    return lambda m, x: m.depthwise(x, 1, kernel, stride, **kw)  # type: ignore[arg-type]


def dense(features: int, *, per_channel: bool = False, activation: Activation = Activation.NONE) -> Step:
    return lambda m, x: m.dense(x, features, per_channel=per_channel, activation=activation)


def strided(stride: tuple[int, int]) -> Step:
    return lambda m, x: m.conv2d(x, 5, (3, 3), stride)


def output(scale: float, zero_point: int) -> Tune:
    return lambda m, y: set_output(m, y, scale, zero_point)


def multiplied(factor: float) -> Tune:
    """One multiplier for all channels, and weights so small that results do not saturate."""

    def tune(m: GraphMaker, y: TensorId) -> None:
        real_multiplier(m, y, factor)
        set_weights(m, lambda data: data // 100)
        set_bias(m, lambda c: 40 * c)

    return tune


def all_weights(value: int) -> Tune:
    """The same value everywhere."""

    def tune(m: GraphMaker, y: TensorId) -> None:
        real_multiplier(m, y, 2.0**-10)
        set_weights(m, value)

    return tune


def zeroed(channels: tuple[int, ...]) -> Tune:
    """Channels whose filter is all zero."""

    def tune(m: GraphMaker, y: TensorId) -> None:
        spread(m)
        set_weights(m, lambda data: np.where(by_channel(np.isin(np.arange(len(data)), channels), data), 0, data))

    return tune


def by_channel(values: npt.NDArray[np.generic], data: Int8s) -> npt.NDArray[np.generic]:
    return values.reshape(-1, *(1,) * (data.ndim - 1))


def large_bias(value: int) -> Tune:
    """Biases whose output is about a tie, so that the channel is not constant."""

    def tune(m: GraphMaker, y: TensorId) -> None:
        real_multiplier(m, y, 50.5 / value)
        set_bias(m, lambda c: value if c % 2 == 0 or (isinstance(m.ops[-1], DepthwiseConv2D) and c < 4) else -value)

    return tune


def even_and_odd(even: int, odd: int) -> Tune:
    """Weights by the parity of the channel: the matrix kernels hold two channels in a word."""

    def tune(m: GraphMaker, y: TensorId) -> None:
        real_multiplier(m, y, 2.0**-13)
        set_weights(
            m, lambda data: np.broadcast_to(by_channel(np.where(np.arange(len(data)) % 2, odd, even), data), data.shape)
        )

    return tune


def mixed_scales(m: GraphMaker, y: TensorId) -> None:
    """Every channel has another shift."""
    spread(m)
    _mix_scales(m)


def mixed_from_nothing(m: GraphMaker, y: TensorId) -> None:
    """Every channel has another shift, the first one none at all."""
    real_multiplier(m, y, 0.97)
    set_weights(m, np.sign)
    _mix_scales(m)


def mixed_from_the_left(m: GraphMaker, y: TensorId) -> None:
    """Every channel has another shift, the first ones to the left."""
    real_multiplier(m, y, 15.5)
    set_weights(m, np.sign)
    _mix_scales(m)


def left_too_far(m: GraphMaker, y: TensorId) -> None:
    """A bias that fits until it is shifted."""
    real_multiplier(m, y, 100.0)
    set_bias(m, lambda channel: float(1 << 24) if channel == 1 else 0.0)


def _mix_scales(m: GraphMaker) -> None:
    w = m.ops[-1].inputs[1]
    quant = m.same_quant(w)
    scales = tuple(s * 2.0 ** -(3 * c % 7) for c, s in enumerate(quant.scale))
    m.tensors[w] = replace(m.tensors[w], quant=replace(quant, scale=scales))


def four_bits(m: GraphMaker, y: TensorId) -> None:
    """Weights of four bits, all values of them."""
    w = m.ops[-1].inputs[1]
    tensor = m.tensors[w]
    data = m.random.integers(-8, 8, tensor.shape).astype(np.int8)
    m.tensors[w] = replace(tensor, dtype=DType.INT4, data=data)
    spread(m)
    output = m.same_quant(y)
    set_output(m, y, output.scale[0] / 12, output.zero_point[0])
