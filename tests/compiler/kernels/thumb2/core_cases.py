"""Graphs for every kernel of a core's own and its edges, by name: shapes first, then hostile numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Activation, Conv2D, DepthwiseConv2D, FullyConnected, Padding
from services.compiler.ir.tensor import DType, QuantParams, TensorId
from tests.compiler.graph_maker import GraphMaker

NO_PADDING = Padding()
RELU, RELU6, RELU_N1 = Activation.RELU, Activation.RELU6, Activation.RELU_N1_TO_1
Int8s = npt.NDArray[np.int8]
Step = Callable[[GraphMaker, TensorId], TensorId]
Tune = Callable[[GraphMaker, TensorId], None]


@dataclass(frozen=True)
class CoreCase:
    """A graph and whether the Thumb-2 kernels do without portable ones for it."""

    make: Callable[[GraphMaker], Graph]
    covered: bool = True

    def graph(self, number: int) -> Graph:
        """Return the graph, under a name of its own; the number is also the seed."""
        return self.make(GraphMaker(seed=number, name=f"c{number:04}"))


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


# changes of a finished operator
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


def two_inputs(
    shape: tuple[int, ...], left: QuantParams, right: QuantParams, out: QuantParams, activation: Activation, **kw: bool
) -> CoreCase:
    def make(m: GraphMaker) -> Graph:
        y = m.binary("add", m.input(*shape, quant=left), m.input(*shape, quant=right), activation)
        m.tensors[y] = replace(m.tensors[y], quant=out)
        return m.build(y)

    return CoreCase(make, **kw)


def residual(m: GraphMaker) -> Graph:
    """An addition that may lie on either of its inputs."""
    x = m.conv2d(m.input(1, 6, 5, 4), 7, (1, 1))
    y = m.depthwise(x)
    spread(m)
    return m.build(m.binary("add", x, y, RELU))


def added_constant(m: GraphMaker) -> Graph:
    x = m.input(1, 3, 5, 7)
    return m.build(
        m.binary("add", m.constant(m.random.integers(-128, 128, (1, 3, 5, 7)).astype(np.int8), m.quant()), x)
    )


def separable_block(m: GraphMaker) -> Graph:
    """Expansion, depthwise, projection and residual, several times: outputs lie over inputs."""
    x = m.conv2d(m.input(1, 12, 10, 3), 8, stride=(2, 2), activation=RELU6)
    for kernel in ((3, 3), (5, 5), (7, 7)):
        wide = m.conv2d(x, 24, (1, 1), activation=RELU6)
        narrow = m.conv2d(m.depthwise(wide, kernel=kernel, activation=RELU6), 8, (1, 1))
        x = m.binary("add", x, narrow)
    y = m.dense(m.reshape(m.mean(x, (1, 2)), 1, 8), 3)
    spread(m)
    return m.build(y)


def _pointwise() -> dict[str, CoreCase]:
    cases = {
        f"pointwise {k} to {n} on {h}x3": one(conv(n, (1, 1)), 1, h, 3, k)
        for (k, n), h in zip(product((1, 2, 3, 4, 5, 6, 7, 8), (1, 2, 3, 4, 5, 6, 7, 8)), (1, 2) * 32, strict=True)
    }
    # entries of the unrolled loop: every depth modulo 16 and more than one turn
    cases |= {f"pointwise depth {k}": one(conv(9, (1, 1)), 1, 1, 3, k) for k in (9, 12, 15, 16, 17, 20, 31, 32, 33, 65)}
    cases |= {
        f"pointwise stride {s} on 7x5": one(conv(6, (1, 1), s, padding=NO_PADDING), 1, 7, 5, 6) for s in (1, 2, 3)
    }
    return cases | {
        "pointwise one pixel": one(conv(5, (1, 1)), 1, 1, 1, 8),
        "pointwise padded": one(conv(5, (1, 1), padding=Padding(1, 0, 0, 2)), 1, 3, 4, 8),
        "pointwise wide": one(conv(300, (1, 1)), 1, 3, 3, 260),
        "pointwise without bias": one(conv(7, (1, 1), bias=False), 1, 5, 3, 8),
    }


def _convolutions() -> dict[str, CoreCase]:
    kernels = ((3, 3), (1, 3), (3, 1), (2, 2), (5, 5), (7, 7), (1, 5), (2, 3))
    cases = {
        f"conv {k[0]}x{k[1]} of {c} channels": one(conv(n, k), 1, 6, 7, c)
        for (k, c), n in zip(product(kernels, (1, 3, 4, 5)), range(1, 33), strict=True)
    }
    cases |= {
        f"conv 3x3 stride {s[0]}x{s[1]}": one(strided(s), 1, 9, 8, 4) for s in ((1, 2), (2, 1), (2, 2), (3, 3), (4, 4))
    }
    cases |= {
        f"conv padded {p}": one(conv(6, (3, 3), s, padding=Padding(*p)), 1, 5, 6, c)
        for p, s, c in (
            ((0, 0, 0, 0), 1, 4),
            ((1, 0, 0, 1), 1, 3),
            ((0, 2, 3, 1), 1, 2),
            ((2, 2, 2, 2), 2, 4),
            ((0, 1, 0, 1), 2, 8),
            ((2, 0, 1, 0), 3, 5),
        )
    }
    return cases | {
        "conv 10x4 of an image": one(lambda m, x: m.conv2d(x, 8, (10, 4), (2, 2)), 1, 25, 10, 1),
        "conv 10x8 stride 2x1": one(lambda m, x: m.conv2d(x, 5, (10, 8), (2, 1)), 1, 20, 12, 1),
        "conv 8x20 stride 1x2": one(lambda m, x: m.conv2d(x, 3, (8, 20), (1, 2), activation=RELU), 1, 11, 22, 1),
        "conv 1-D": one(lambda m, x: m.conv2d(x, 6, (1, 5), (1, 2)), 1, 1, 33, 4),
        "conv dilated": one(lambda m, x: m.conv2d(x, 4, dilation=(2, 3)), 1, 9, 11, 3),
        "conv dilated of 4 channels": one(lambda m, x: m.conv2d(x, 4, dilation=(2, 2)), 1, 9, 11, 4),
        "conv dilated in rows": one(lambda m, x: m.conv2d(x, 5, dilation=(2, 1), padding=NO_PADDING), 1, 9, 5, 4),
        "conv dilated with stride": one(lambda m, x: m.conv2d(x, 5, (2, 2), (2, 1), (3, 2)), 1, 9, 7, 6),
        "conv larger than the image": one(conv(3, (5, 5)), 1, 2, 3, 4),
        "conv larger than one pixel": one(conv(3, (3, 3)), 1, 1, 1, 4),
        "conv window is the image": one(conv(7, (4, 3), padding=NO_PADDING), 1, 4, 3, 5),
        "conv with columns of padding only": one(conv(2, (3, 3), padding=Padding(4, 4, 4, 4)), 1, 2, 2, 4),
    }


def _depthwise() -> dict[str, CoreCase]:
    kernels = ((3, 3), (5, 5), (7, 7), (2, 2), (4, 4), (6, 6), (3, 5), (5, 3), (1, 3), (1, 7), (7, 2), (2, 7), (10, 4))
    cases = {
        f"depthwise {k[0]}x{k[1]} stride {s}": one(depthwise(k, (s, s)), 1, 9, 8, 3)
        for k, s in product(kernels, (1, 2))
    }
    cases |= {f"depthwise {w} columns": one(depthwise((3, 3)), 1, 3, w, 2) for w in (1, 2, 3, 4, 5, 6, 7, 9, 16, 17)}
    cases |= {
        f"depthwise {w} columns stride 2": one(depthwise((5, 5), (2, 2), activation=RELU), 1, 5, w, 2)
        for w in (1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17)
    }
    cases |= {
        f"depthwise {c} channels": one(depthwise((3, 3), activation=a), 1, 5, 4, c)
        for c, a in ((1, RELU), (2, RELU6), (255, Activation.NONE), (256, RELU), (257, RELU), (300, Activation.NONE))
    }
    cases |= {
        f"depthwise stride {s[0]}x{s[1]}": one(depthwise((3, 3), s), 1, 10, 11, 3)
        for s in ((1, 2), (2, 1), (1, 3), (3, 3), (2, 3), (4, 4), (5, 1))
    }
    cases |= {
        f"depthwise padded {p}": one(depthwise((3, 3), (s, s), padding=Padding(*p)), 1, 6, 7, 4)
        for p, s in (
            ((0, 0, 0, 0), 1),
            ((0, 0, 0, 0), 2),
            ((0, 1, 0, 1), 2),
            ((1, 0, 0, 2), 1),
            ((0, 2, 2, 0), 1),
            ((2, 2, 2, 2), 1),
            ((2, 1, 1, 2), 2),
        )
    }
    return cases | {
        "depthwise tall": one(depthwise((3, 3)), 1, 150, 12, 2),
        "depthwise tall stride 2": one(depthwise((5, 5), (2, 2), activation=RELU6), 1, 151, 13, 3),
        "depthwise tall with rows skipped": one(depthwise((2, 3), (3, 1)), 1, 160, 12, 2),
        "depthwise tall padded far": one(depthwise((7, 3), padding=Padding(6, 6, 1, 1)), 1, 130, 12, 2),
        "depthwise wide": one(depthwise((3, 3)), 1, 7, 120, 2),
        "depthwise wide 7x7": one(depthwise((7, 7), activation=RELU), 1, 9, 70, 2),
        "depthwise as wide as loads reach": one(depthwise((3, 3), (2, 2)), 1, 9, 250, 1),
        "depthwise too wide": one(depthwise((3, 3)), 1, 5, 300, 2, covered=False),
        "depthwise in place": one(lambda m, x: m.depthwise(m.conv2d(x, 64, (1, 1))), 1, 8, 7, 5),
        "depthwise in place in chunks": one(lambda m, x: m.depthwise(m.conv2d(x, 5, (1, 1))), 1, 130, 14, 3),
        "depthwise stride 2 in place in chunks": one(
            lambda m, x: m.depthwise(m.conv2d(x, 5, (1, 1)), stride=(2, 2), activation=RELU6), 1, 140, 14, 3
        ),
        "depthwise growing in place": one(
            lambda m, x: m.depthwise(m.conv2d(x, 96, (1, 1)), padding=Padding(2, 2, 2, 2)), 1, 6, 6, 3
        ),
        "depthwise growing in chunks after a convolution": one(
            lambda m, x: m.depthwise(m.conv2d(x, 5, (1, 1)), padding=Padding(2, 2, 2, 2)), 1, 130, 12, 3
        ),
        "depthwise 5x2 stride 2 with columns that are not read": one(
            depthwise((5, 2), (1, 2), padding=NO_PADDING), 1, 9, 7, 3
        ),
        "depthwise with columns that are not read in chunks": one(
            depthwise((2, 2), (1, 3), padding=NO_PADDING, activation=RELU), 1, 120, 22, 2
        ),
        "depthwise with the last rows not read": one(depthwise((2, 2), (3, 3), padding=NO_PADDING), 1, 7, 7, 2),
        "depthwise windows above the image": one(
            depthwise((3, 3), (2, 2), padding=Padding(3, 0, 1, 1)), 1, 1, 6, 3, covered=False
        ),
        "depthwise windows beside the image": one(depthwise((3, 3), (2, 2), padding=Padding(1, 1, 3, 0)), 1, 6, 1, 3),
        "depthwise larger than the image": one(depthwise((7, 7)), 1, 2, 3, 4),
        "depthwise 1x7 fits registers, its values do not": one(depthwise((1, 7)), 1, 4, 12, 3),
        "depthwise 1x10": one(depthwise((1, 10), (1, 2)), 1, 4, 21, 3),
        "depthwise 2x9": one(depthwise((2, 9), activation=RELU), 1, 4, 21, 3),
        "depthwise 1x11": one(depthwise((1, 11)), 1, 4, 21, 3, covered=False),
        "depthwise 3x12 stride 2": one(depthwise((3, 12), (2, 2)), 1, 4, 21, 3, covered=False),
        "depthwise of columns": one(depthwise((3, 1)), 1, 5, 4, 3),
        "depthwise 1x1": one(depthwise((1, 1), activation=RELU), 1, 5, 4, 3),
        "depthwise 1x1 stride 2": one(depthwise((1, 1), (2, 2)), 1, 5, 7, 300),
        "depthwise 6x1": one(depthwise((6, 1), activation=RELU), 1, 14, 9, 3),
        "depthwise 10x1": one(depthwise((10, 1), activation=RELU), 1, 21, 5, 3),
        "depthwise 10x1 stride 2x3": one(depthwise((10, 1), (2, 3)), 1, 21, 17, 3),
        "depthwise 3x1 padded beside": one(depthwise((3, 1), (1, 2), padding=Padding(2, 1, 1, 2)), 1, 5, 8, 3),
        "depthwise 3x1 shift 0": tuned(depthwise((3, 1), activation=RELU), (1, 5, 5, 6), shifted_by(0)),
        "depthwise 3x1 in chunks in place": one(
            lambda m, x: m.depthwise(m.conv2d(x, 5, (1, 1)), kernel=(3, 1), activation=RELU), 1, 130, 12, 3
        ),
        "depthwise 1x3 wider than an addition reaches": one(depthwise((1, 3)), 1, 1, 2100, 1, covered=False),
        "depthwise multiplier 3": one(lambda m, x: m.depthwise(x, 3), 1, 6, 7, 2),
        "depthwise multiplier 2 of 160 channels": one(lambda m, x: m.depthwise(x, 2, activation=RELU), 1, 6, 7, 160),
        "depthwise multiplier 2 in chunks": one(
            lambda m, x: m.depthwise(m.conv2d(x, 5, (1, 1)), 2, (5, 5), activation=RELU6), 1, 130, 14, 3
        ),
        "depthwise multiplier 8 of one channel": one(
            lambda m, x: m.depthwise(x, 8, (10, 8), (2, 2), activation=RELU), 1, 49, 40, 1
        ),
        "depthwise multiplier 3 growing in place": one(
            lambda m, x: m.depthwise(m.conv2d(x, 1, (1, 1)), 3, padding=Padding(2, 1, 2, 1)), 1, 130, 12, 3
        ),
        "depthwise multiplier 2 shift 0": tuned(
            lambda m, x: m.depthwise(x, 2, activation=RELU), (1, 5, 5, 3), shifted_by(0)
        ),
    }


def after_convolution(step: Step) -> Step:
    """`step` on an image that is made here, so that its output may lie over it."""
    return lambda m, x: step(m, m.conv2d(x, 5, (1, 1)))


def _dilated() -> dict[str, CoreCase]:
    three, five, far = (3, 3), (5, 5), Padding(6, 6, 5, 4)
    rows = ((3, 2, 1), (3, 2, 16), (3, 8, 33), (2, 4, 64), (5, 3, 20), (3, 16, 12), (3, 20, 70))
    cases = {
        f"depthwise 1x{k} dilated by {d} on {w}": one(depthwise((1, k), dilation=(1, d), activation=RELU), 1, 2, w, 3)
        for k, d, w in rows
    }
    cases |= {
        f"depthwise dilated {k}x{k} growing in chunks": one(
            after_convolution(depthwise((k, k), dilation=(3, 2), padding=far)), 1, 130, 14, 3
        )
        for k in (3, 5)
    }
    return cases | {
        "depthwise dilated": one(depthwise(three, dilation=(2, 2)), 1, 9, 8, 4),
        "depthwise dilated with stride": one(depthwise(three, (2, 2), dilation=(2, 2)), 1, 9, 8, 4, covered=False),
        "depthwise dilated with stride of rows": one(depthwise(three, (2, 1), dilation=(2, 2)), 1, 9, 11, 4),
        "depthwise dilated without padding": one(depthwise(three, dilation=(2, 3), padding=NO_PADDING), 1, 9, 14, 3),
        "depthwise dilated and padded anyhow": one(
            depthwise(three, dilation=(2, 3), padding=Padding(4, 1, 5, 2), activation=RELU), 1, 9, 14, 3
        ),
        "depthwise dilated 300 channels": one(depthwise(three, dilation=(2, 2), activation=RELU), 1, 5, 6, 300),
        "depthwise dilated 5x5 shift 0": tuned(
            depthwise(five, dilation=(2, 2), activation=RELU), (1, 7, 7, 6), shifted_by(0)
        ),
        "depthwise dilated of rows": one(depthwise((3, 1), dilation=(8, 1)), 1, 40, 1, 9),
        "depthwise dilated multiplier 2": one(lambda m, x: m.depthwise(x, 2, dilation=(3, 2)), 1, 9, 7, 5),
        "int4 depthwise dilated": tuned(depthwise(three, dilation=(2, 2), activation=RELU), (1, 7, 9, 3), four_bits),
    }


def _dense() -> dict[str, CoreCase]:
    cases = {
        f"dense {k} to {n}": one(dense(n, per_channel=True), 1, k)
        for k, n in product((1, 2, 3, 4, 5, 7, 8, 10, 16, 19), (1, 2, 3, 4, 5, 6, 7))
    }
    return cases | {
        "dense of a batch": one(dense(3), 5, 9),
        "dense of a batch of rank 4": one(dense(6, activation=RELU), 1, 3, 2, 10),
        "dense deep": one(dense(10, activation=RELU6), 1, 640),
        "dense to 128": one(dense(128, activation=RELU), 1, 33),
    }


def _activations() -> dict[str, CoreCase]:
    """Every kernel with every activation, and zero points at which the clamp is int8's own or a narrower one."""
    steps: dict[str, Callable[[Activation], Step]] = {
        "conv": lambda a: conv(5, (3, 3), activation=a),
        "pointwise": lambda a: conv(7, (1, 1), activation=a),
        "depthwise 3x3": lambda a: depthwise((3, 3), activation=a),
        "depthwise 5x5": lambda a: depthwise((5, 5), activation=a),
        "dense": lambda a: dense(7, activation=a),
        "add": lambda a: lambda m, x: m.binary("add", x, m.input(*m.shape(x)), a),
    }
    return {
        f"{name} {activation.value} zero point {z} scale {scale}": tuned(
            step(activation), (1, 5, 5, 3), output(scale, z)
        )
        for name, step in steps.items()
        for activation in Activation
        for z, scale in ((-128, 0.05), (-128, 6 / 255), (-1, 0.05), (0, 0.02), (127, 0.01), (-100, 0.03))
    }


def _numbers() -> dict[str, CoreCase]:
    shape = (1, 5, 5, 6)
    cases: dict[str, CoreCase] = {}
    for shift, a in product((1, 2, 7, 8, 9, 15, 16, 20, 21, 22, 23, 24, 26, 28, 30, 31), (Activation.NONE, RELU)):
        kind, depth = f"shift {shift} {a.value}", 4 if shift < 9 else 64
        cases[f"pointwise {kind}"] = tuned(conv(5, (1, 1), activation=a), (1, 4, 4, depth), shifted_by(shift))
        cases[f"dense {kind}"] = tuned(dense(6, activation=a), (9, depth), shifted_by(shift))
        if shift <= 22:
            cases[f"depthwise {kind}"] = tuned(depthwise((3, 3), activation=a), shape, shifted_by(shift))
            cases[f"depthwise 7x7 {kind}"] = tuned(depthwise((7, 7), activation=a), shape, shifted_by(shift, -128))
        if shift <= 20:
            cases[f"conv {kind}"] = tuned(conv(6, (3, 3), activation=a), shape, shifted_by(shift))
    for name, step in (
        ("conv", conv(5, (3, 3))),
        ("depthwise", depthwise((3, 3))),
        ("dense", dense(5)),
    ):
        cases |= {
            f"{name} shift 0": tuned(step, shape, multiplied(0.75), covered=False),
            f"{name} shift to the left": tuned(step, shape, multiplied(5.0), covered=False),
            f"{name} multiplier 0": tuned(step, shape, multiplied(2.0**-40)),
            f"{name} multiplier just below 1/2": tuned(step, shape, multiplied(0.5 - 2**-20)),
            f"{name} multiplier 1/4": tuned(step, shape, multiplied(0.25)),
            f"{name} weights of 127": tuned(step, shape, all_weights(127)),
            f"{name} weights of 0": tuned(step, shape, all_weights(0)),
        }
    for size, a in product((3, 7), (RELU, RELU6)):
        step, name = depthwise((size, size), activation=a), f"depthwise {size}x{size} {a.value}"
        cases |= {f"{name} shift 0 zero point {z}": tuned(step, shape, shifted_by(0, z)) for z in (-128, 3, 127)}
        cases |= {
            f"{name} multiplier just below 1": tuned(step, shape, multiplied(1 - 2**-20)),
            f"{name} multiplier 1/2": tuned(step, shape, multiplied(0.5)),
            f"{name} shifts 0 to 6": tuned(step, shape, mixed_from_nothing),
            f"{name} shift to the left": tuned(step, shape, multiplied(5.0)),
            f"{name} shift of 7 to the left": tuned(step, shape, multiplied(127.0)),
            f"{name} shift of 8 to the left": tuned(step, shape, multiplied(129.0), covered=False),
            f"{name} shifts -4 to 2": tuned(step, shape, mixed_from_the_left),
            f"{name} too large for a shift to the left": tuned(step, shape, left_too_far, covered=False),
        }
    cases |= {
        "depthwise 8 wide, shift to the left": tuned(depthwise((2, 8), activation=RELU), shape, multiplied(5.0)),
        "depthwise 9 wide, shift to the left": tuned(
            depthwise((2, 9), activation=RELU), shape, multiplied(5.0), covered=False
        ),
        "depthwise 1x4, shift to the left": tuned(depthwise((1, 4), activation=RELU), shape, multiplied(5.0)),
        "depthwise 1x5, shift to the left": tuned(
            depthwise((1, 5), activation=RELU), shape, multiplied(5.0), covered=False
        ),
        "depthwise column, shift to the left": tuned(depthwise((3, 1), activation=RELU), shape, multiplied(5.0)),
        "depthwise shift 23": tuned(depthwise((3, 3), activation=RELU), shape, shifted_by(23), covered=False),
        "depthwise weights of -128": tuned(depthwise((3, 3)), shape, all_weights(-128)),
        "conv weights of -128": tuned(conv(5, (3, 3)), shape, all_weights(-128), covered=False),
        "conv weights of -128 in even channels": tuned(conv(5, (3, 3)), shape, even_and_odd(-128, 3)),
        "dense weights of -128 in even outputs": tuned(dense(5), shape, even_and_odd(-128, 127)),
    }
    return cases | _weights()


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


def _weights() -> dict[str, CoreCase]:
    """Sums and biases at the ends of what the kernels hold, and channels that never change."""
    shape = (1, 4, 5, 6)
    wide = (1, 1, 3, 600)  # 600 * 127 * 128 is beyond 2^23
    steps: tuple[tuple[str, Step], ...] = (
        ("conv", conv(6, (3, 3))),
        ("depthwise", depthwise((3, 3), activation=RELU)),
        ("dense", dense(6, per_channel=True)),
    )
    cases = {
        f"{name} bias {value}": tuned(
            step, shape, large_bias(value), covered=value < (1 << 28 if name == "depthwise" else 1 << 22)
        )
        for name, step in steps
        for value in (1 << 20, (1 << 23) - 1, 1 << 24, (1 << 29) - 1, (1 << 30) + 5, (1 << 31) - 1)
    }
    cases |= {
        f"{name} constant channels {constant}": tuned(step, shape, zeroed(constant))
        for name, step in steps
        for constant in ((0,), (1, 2), (0, 1, 2, 3, 4, 5), (5,))
    }
    cases |= {f"{name} mixed scales": tuned(step, shape, mixed_scales) for name, step in steps}
    return cases | {
        "pointwise odd sums beyond 24 bits": tuned(conv(4, (1, 1)), wide, even_and_odd(100, 127), covered=False),
        "pointwise even sums beyond 24 bits": tuned(conv(4, (1, 1)), wide, even_and_odd(127, 100)),
        "pointwise odd sums just below 24 bits": tuned(conv(4, (1, 1)), (1, 1, 3, 512), even_and_odd(-128, 127)),
        "pointwise odd sums just beyond": tuned(
            conv(4, (1, 1)), (1, 1, 3, 520), even_and_odd(-128, 127), covered=False
        ),
        "dense odd sums just below 24 bits": tuned(dense(4), (3, 512), even_and_odd(-128, -127)),
    }


def _additions() -> dict[str, CoreCase]:
    def q(scale: float, zero_point: int) -> QuantParams:
        return QuantParams((scale,), (zero_point,))

    none, shape = Activation.NONE, (1, 3, 5, 7)
    cases = {
        f"add {left} and {right} to {out}": two_inputs(shape, q(left, z), q(right, -5), q(out, 9), none)
        for z, (left, right, out) in enumerate(
            (
                (0.1, 0.1, 0.1),
                (0.1, 0.05, 0.1),
                (0.05, 0.1, 0.1),
                (0.1, 0.099, 0.2),
                (0.1, 1e-4, 0.1),
                (0.1, 1e-7, 0.1),
                (0.1, 1e-10, 0.1),
                (1e-12, 0.1, 0.1),
                (0.1, 0.07, 1e-3),
                (0.1, 0.07, 1e-5),
                (0.1, 0.07, 50.0),
            )
        )
    }
    cases |= {
        f"add zero points {a} {b} {c}": two_inputs((1, 64, 64), q(0.1, a), q(0.06, b), q(0.08, c), none)
        for a, b, c in ((-128, -128, -128), (127, 127, 127), (-128, 127, 0), (127, -128, 127), (-128, -128, 127))
    }
    cases |= {
        f"add {n} elements": two_inputs((1, n), q(0.1, 1), q(0.06, 2), q(0.08, 3), none) for n in (1, 2, 3, 4, 5, 6, 7)
    }
    return cases | {
        "add out shifted left": two_inputs(shape, q(0.1, 1), q(0.07, 0), q(1e-7, 0), none, covered=False),
        "add to next to nothing": two_inputs(shape, q(0.1, 1), q(0.07, 0), q(1e3, 5), none, covered=False),
        "add to nothing": two_inputs(shape, q(0.1, 1), q(0.07, 0), q(1e9, 5), none, covered=False),
        "add to itself": CoreCase(lambda m: m.build((lambda x: m.binary("add", x, x))(m.input(1, 5, 3)))),
        "add a constant": CoreCase(added_constant),
        "add in place": CoreCase(residual),
        "separable blocks": CoreCase(separable_block),
    }


def four_bits(m: GraphMaker, y: TensorId) -> None:
    """Weights of four bits, all values of them."""
    w = m.ops[-1].inputs[1]
    tensor = m.tensors[w]
    data = m.random.integers(-8, 8, tensor.shape).astype(np.int8)
    m.tensors[w] = replace(tensor, dtype=DType.INT4, data=data)
    spread(m)
    output = m.same_quant(y)
    set_output(m, y, output.scale[0] / 12, output.zero_point[0])


def _four_bits() -> dict[str, CoreCase]:
    cases = {
        f"int4 pointwise {k} to {n} on {h}x3": tuned(conv(n, (1, 1), activation=a), (1, h, 3, k), four_bits)
        for k, n, h, a in (
            (4, 4, 1, Activation.NONE),
            (4, 1, 2, RELU),
            (8, 2, 3, Activation.NONE),
            (12, 3, 1, RELU),
            (16, 8, 7, Activation.NONE),
            (20, 7, 2, RELU),
            (64, 9, 5, Activation.NONE),
            (100, 6, 9, RELU),
            (260, 12, 2, Activation.NONE),
        )
    }
    cases |= {
        f"int4 conv {k} of {c}": tuned(conv(5, k, s), (1, 7, 6, c), four_bits)
        for k, c, s in (((3, 3), 3, 1), ((3, 3), 16, 1), ((5, 5), 1, 2), ((1, 7), 4, 1), ((3, 1), 5, 2))
    }
    cases |= {
        f"int4 depthwise {k} stride {s}": tuned(depthwise(k, (s, s), activation=a), (1, 9, 8, 3), four_bits)
        for (k, a), s in product(
            (
                ((3, 3), RELU),
                ((3, 2), Activation.NONE),
                ((3, 1), RELU),
                ((7, 1), Activation.NONE),
                ((5, 5), RELU),
                ((7, 7), Activation.NONE),
                ((2, 4), RELU),
                ((4, 6), Activation.NONE),
                ((3, 8), RELU),
                ((2, 9), Activation.NONE),
                ((2, 10), RELU),
            ),
            (1, 2),
        )
    }
    return cases | {
        f"int4 dense {k} to {n} of {b}": tuned(dense(n, per_channel=True, activation=a), (b, k), four_bits)
        for k, n, b, a in (
            (1, 1, 1, RELU),
            (4, 4, 1, Activation.NONE),
            (7, 2, 3, RELU),
            (16, 3, 1, Activation.NONE),
            (33, 5, 2, RELU),
            (640, 10, 1, Activation.NONE),
            (128, 128, 1, RELU),
        )
    }


def product_of(
    a: tuple[int, ...], b: tuple[int, ...], out: QuantParams | None = None, activation: Activation = Activation.NONE
) -> CoreCase:
    """A product of two inputs, whose zero points are random or, where `out` is told, lie at the ends of int8."""

    def make(m: GraphMaker) -> Graph:
        ends = QuantParams((0.02,), (-128,)), QuantParams((0.03,), (127,))
        quants = ends if out is not None else (m.quant(), m.quant())
        inputs = (m.input(*shape, quant=quant) for shape, quant in zip((a, b), quants, strict=True))
        y = m.binary("mul", *inputs, activation)
        m.tensors[y] = replace(m.tensors[y], quant=out or QuantParams((0.9,), (5,)))
        return m.build(y)

    return CoreCase(make, covered=a[-1] == b[-1])


def _products() -> dict[str, CoreCase]:
    image = (1, 5, 3, 7)
    cases = {f"product of {n} elements": product_of((1, n), (1, n)) for n in (1, 2, 3, 4, 5, 8, 11)}
    return cases | {
        "product of images": product_of(image, image),
        "product by channel": product_of(image, (1, 1, 1, 7)),
        "product by channel, first": product_of((1, 1, 1, 12), (1, 4, 3, 12)),
        "product by row": product_of((1, 5, 1, 7), image),
        "product of both ways": product_of((1, 5, 1, 4), (1, 1, 3, 4)),
        "product by pixel": product_of(image, (1, 5, 3, 1)),
        "product with ReLU6": product_of(image, image, activation=RELU6),
        "product of far zero points": product_of(image, image, QuantParams((0.3,), (100,))),
        "product that ends in ties": product_of(image, image, QuantParams((0.02 * 0.03 * 64,), (-3,))),
    }


def pooled(kind: str, kernel: tuple[int, int], stride: tuple[int, int], padding: Padding | None = None) -> Step:
    return lambda m, x: m.pool(kind, x, kernel, stride, padding)


def averaged(axes: tuple[int, ...], *, keep: bool = True) -> Step:
    return lambda m, x: m.mean(x, axes, keep=keep)


def _pools() -> dict[str, CoreCase]:
    windows = (((2, 2), (2, 2)), ((3, 3), (1, 1)), ((3, 2), (2, 3)), ((1, 1), (2, 2)), ((5, 5), (5, 5)))
    kinds = product(("max", "average"), windows, (3, 4, 9))
    cases = {f"{k} pool {w[0]} by {w[1]} of {c}": one(pooled(k, *w), 1, 7, 6, c) for k, w, c in kinds}
    cases |= {
        f"{kind} pool in place": one(
            lambda m, x, kind=kind: m.pool(kind, m.conv2d(x, 12, (1, 1)), (3, 3)),  # type: ignore[misc]
            1, 6, 5, 4,
        )
        for kind in ("max", "average")
    }  # fmt: skip
    images = ((1, 1, 9), (15, 17, 4), (16, 16, 6), (17, 31, 5))
    cases |= {f"mean of {h}x{w}": one(averaged((1, 2)), 1, h, w, c) for h, w, c in images}
    return cases | {
        "average of 255 pixels": one(pooled("average", (15, 17), (1, 1), NO_PADDING), 1, 15, 17, 6),
        "average of 256 pixels": one(pooled("average", (16, 16), (1, 1), NO_PADDING), 1, 16, 16, 6, covered=False),
        "mean of rows": one(averaged((1,)), 1, 6, 5, 4, covered=False),
        "mean without dimensions": one(averaged((1, 2), keep=False), 1, 6, 5, 8),
    }


CORE_CASES: dict[str, CoreCase] = {
    **_pointwise(),
    **_convolutions(),
    **_depthwise(),
    **_dilated(),
    **_dense(),
    **_activations(),
    **_numbers(),
    **_additions(),
    **_four_bits(),
    **_products(),
    **_pools(),
}
