"""Convolutions and fully connected layers on int16 activations for the kernels of a core."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Padding
from services.compiler.ir.tensor import DType, QuantParams, TensorId
from tests.compiler.graph_maker import GraphMaker
from tests.compiler.kernels.thumb2.core_case import RELU, RELU6, CoreCase, Step, set_weights

Tune16 = Callable[[GraphMaker, TensorId], None]


def wide(step: Step, shape: tuple[int, ...], tune: Tune16 | None = None, *, covered: bool = True) -> CoreCase:
    """A layer whose random inputs fill int16, unless it is tuned otherwise."""

    def make(m: GraphMaker) -> Graph:
        y = step(m, m.input(*shape))
        (tune or scaled)(m, y)
        return m.build(y)

    return CoreCase(make, covered, DType.INT16)


def scaled(m: GraphMaker, y: TensorId, factor: float = 1.0) -> None:
    """Set an output scale at which sums of random inputs fill int16, times a factor."""
    x, w = (m.tensors[t] for t in m.ops[-1].inputs[:2])
    assert x.quant is not None
    assert w.quant is not None
    deviation = 18_900 * 73 * float(np.prod(w.shape[1:])) ** 0.5
    scale = x.quant.scale[0] * max(w.quant.scale) * deviation / 12_000
    m.tensors[y] = replace(m.tensors[y], quant=QuantParams((scale * factor,), (0,)))


def short_bias(m: GraphMaker, y: TensorId) -> None:
    """An int32 bias, with which sums have 32 bits."""
    scaled(m, y)
    bias = m.ops[-1].inputs[2]
    held = m.tensors[bias]
    assert held.data is not None
    m.tensors[bias] = replace(held, dtype=DType.INT32, data=held.data.astype(np.int32))


def long_bias(m: GraphMaker, y: TensorId) -> None:
    """Biases beyond 32 bits, at an output scale that they are a part of."""
    scaled(m, y, 1000.0)
    bias = m.ops[-1].inputs[2]
    values = m.random.integers(-(1 << 38), 1 << 38, m.tensors[bias].shape)
    m.tensors[bias] = replace(m.tensors[bias], data=values)


def lowest(parity: int) -> Tune16:
    """Weights of -128 in even or odd channels."""

    def tune(m: GraphMaker, y: TensorId) -> None:
        scaled(m, y)
        set_weights(m, lambda data: np.where(np.arange(len(data)).reshape(-1, 1) % 2 == parity, -128, data))

    return tune


def wide_cases() -> dict[str, CoreCase]:
    def conv(channels: int, kernel: tuple[int, int], **kw: object) -> Step:
        return lambda m, x: m.conv2d(x, channels, kernel, **kw)  # type: ignore[arg-type]

    def dense(features: int, **kw: object) -> Step:
        return lambda m, x: m.dense(x, features, **kw)  # type: ignore[arg-type]

    cases = {
        f"wide dense {n} to {m}": wide(dense(m), (1, n)) for n, m in zip(range(1, 18), (1, 2, 3, 4) * 5, strict=False)
    }
    cases |= {f"wide pointwise of {n}": wide(conv(5, (1, 1)), (1, 3, 4, n)) for n in (1, 3, 8, 15)}
    return (
        cases
        | depthwise_cases()
        | {
            "wide dense of a batch": wide(dense(5, per_channel=True, activation=RELU), (7, 19)),
            "wide dense of many": wide(dense(3), (1, 3000)),
            "wide dense after another": wide(lambda m, x: m.dense(m.dense(x, 21), 6), (3, 9)),
            "wide conv 3x3": wide(conv(6, (3, 3), activation=RELU), (1, 7, 6, 3)),
            "wide conv 10x4": wide(conv(6, (10, 4), stride=(2, 2)), (1, 25, 10, 1)),
            "wide conv dilated": wide(conv(4, (3, 3), dilation=(2, 3)), (1, 9, 11, 3)),
            "wide conv dilated rows": wide(conv(4, (3, 2), dilation=(3, 1)), (1, 9, 4, 5)),
            "wide conv wider than the image": wide(conv(3, (2, 7)), (1, 4, 2, 3)),
            "wide conv padded on all sides": wide(conv(2, (2, 2), padding=Padding(2, 1, 3, 2)), (1, 3, 2, 3)),
            "wide conv without bias": wide(conv(3, (2, 3), bias=False), (1, 5, 5, 2)),
            "wide conv in place": wide(lambda m, x: m.conv2d(m.conv2d(x, 4, (3, 3)), 2, (1, 1)), (1, 6, 5, 3)),
            "wide conv of long biases": wide(conv(6, (1, 3)), (1, 5, 5, 2), long_bias),
            "wide conv with an int32 bias": wide(conv(4, (3, 3)), (1, 5, 6, 3), short_bias, covered=False),
            "wide conv with ReLU6": wide(conv(4, (3, 3), activation=RELU6), (1, 5, 6, 3), covered=False),
            "wide dense of -128 in even channels": wide(dense(5), (1, 30), lowest(0)),
            "wide dense of -128 in odd channels": wide(dense(5), (1, 30), lowest(1), covered=False),
            **{
                f"wide dense scaled by {f}": wide(dense(4), (1, 9), lambda m, y, f=f: scaled(m, y, f))
                for f in (0.1, 30.0, 1e4)
            },  # type: ignore[misc]
            "wide dense scaled by next to nothing": wide(dense(4), (1, 9), partial(scaled, factor=1e-6), covered=False),
        }
    )


def depthwise_cases() -> dict[str, CoreCase]:
    def depthwise(kernel: tuple[int, int], **kw: object) -> Step:
        return lambda m, x: m.depthwise(x, kernel=kernel, **kw)  # type: ignore[arg-type]

    cases = {f"wide depthwise of {n}": wide(depthwise((3, 3)), (1, 5, 4, n)) for n in (1, 2, 3, 8)}
    return cases | {
        "wide depthwise with a ReLU": wide(depthwise((3, 3), activation=RELU), (1, 6, 5, 7)),
        "wide depthwise 5x2 strided": wide(depthwise((5, 2), stride=(2, 3)), (1, 9, 8, 6)),
        "wide depthwise dilated": wide(depthwise((3, 3), dilation=(2, 3)), (1, 9, 11, 5)),
        "wide depthwise padded on all sides": wide(depthwise((2, 2), padding=Padding(2, 1, 3, 2)), (1, 3, 2, 5)),
        "wide depthwise wider than the image": wide(depthwise((3, 9)), (1, 4, 2, 4)),
        "wide depthwise of long biases": wide(depthwise((3, 3)), (1, 5, 5, 4), long_bias),
        "wide depthwise after another": wide(lambda m, x: m.depthwise(m.depthwise(x)), (1, 6, 5, 6)),
        "wide depthwise of a long row": wide(depthwise((1, 300)), (1, 1, 310, 2)),
        "wide depthwise of too many": wide(depthwise((4, 500), padding=Padding()), (1, 4, 500, 2), covered=False),
        "wide depthwise multiplier 2": wide(lambda m, x: m.depthwise(x, 2), (1, 4, 5, 3), covered=False),
    }
