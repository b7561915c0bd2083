"""Sums, products and pools for the kernels of a core."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np

from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Padding
from services.compiler.ir.tensor import DType, QuantParams
from tests.compiler.graph_maker import GraphMaker
from tests.compiler.kernels.thumb2.core_case import (
    NO_PADDING,
    RELU,
    RELU6,
    CoreCase,
    Step,
    one,
    spread,
)


def two_inputs(
    shape: tuple[int, ...],
    left: QuantParams,
    right: QuantParams,
    out: QuantParams,
    activation: Activation,
    kind: str = "add",
    **kw: bool,
) -> CoreCase:
    def make(m: GraphMaker) -> Graph:
        y = m.binary(kind, m.input(*shape, quant=left), m.input(*shape, quant=right), activation)
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


def addition_cases() -> dict[str, CoreCase]:
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


def difference_cases() -> dict[str, CoreCase]:
    """Differences of inputs of one scale, and with the first or the second one of the larger."""
    scales = ((0.1, 0.1), (0.1, 0.05), (0.05, 0.1), (0.1, 1e-4), (1e-7, 0.1))
    shapes = ((1, 3, 5, 7), (1, 64, 64), (1, 1), (1, 6))
    return {
        f"sub {right} from {left}, {shape}": two_inputs(
            shape,
            QuantParams((left,), (-128,)),
            QuantParams((right,), (127 if z % 2 else -9,)),
            QuantParams((0.09,), (z,)),
            RELU6 if z % 3 else Activation.NONE,
            "sub",
        )
        for z, ((left, right), shape) in enumerate(product(scales, shapes))
    }


def beside_constant(
    kind: str, shape: tuple[int, ...], constant: tuple[int, ...], scales: tuple[float, float], *, first: bool = False
) -> CoreCase:
    """A sum or difference of a tensor and a constant, which stands before it if `first`."""

    def make(m: GraphMaker) -> Graph:
        x_quant, quant = (QuantParams((scale,), m.quant().zero_point) for scale in scales)
        values = m.random.integers(-128, 128, constant).astype(np.int8)
        x, c = m.input(*shape, quant=x_quant), m.constant(values, quant)
        y = m.binary(kind, c, x) if first else m.binary(kind, x, c)
        m.tensors[y] = replace(m.tensors[y], quant=QuantParams((0.12,), (11,)))
        return m.build(y)

    repeats = 1 < np.prod(constant) <= np.prod(shape[-2:])
    last = tuple(d for d in constant if d > 1)
    return CoreCase(make, covered=constant == shape or (bool(repeats) and last == shape[len(shape) - len(last) :]))


def constant_cases() -> dict[str, CoreCase]:
    """Constants of channels, pixels of a row and more, added plain, scaled and shifted to either side."""
    image, scales = (1, 5, 3, 7), ((0.1, 0.05), (0.1, 0.1), (0.05, 0.1), (0.05, 0.099), (1e-4, 0.1), (0.1, 1e-6))
    cases = {
        f"{kind} a channel's {constant} and {x}{', first' * first}": beside_constant(
            kind, image, (7,), (x, constant), first=first
        )
        for kind, (x, constant), first in product(("add", "sub"), scales, (False, True))
    }
    shapes = (
        *(((1, 4, 3, c), (c,)) for c in (2, 3, 4, 8, 12, 13)),
        ((2, 9), (9,)),
        ((6, 5), (1, 5)),
        (image, (1, 1, 1, 7)),
        (image, (1, 1, 3, 7)),
        (image, (3, 7)),
        (image, image),
        (image, (1, 5, 3, 1)),
        (image, (1, 5, 1, 7)),
        (image, (1,)),
    )
    return cases | {
        f"{kind} {constant} to {shape}": beside_constant(kind, shape, constant, (0.06, 0.11))
        for (shape, constant), kind in zip(shapes, ("add", "sub") * 8, strict=False)
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


def product_cases() -> dict[str, CoreCase]:
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


def pool_cases() -> dict[str, CoreCase]:
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
    cases |= {f"sums of {h}x{w}": one(lambda m, x: m.mean_in_halves(x), 1, h, w, c) for h, w, c in images}
    return cases | {
        "average of 255 pixels": one(pooled("average", (15, 17), (1, 1), NO_PADDING), 1, 15, 17, 6),
        "average of 256 pixels": one(pooled("average", (16, 16), (1, 1), NO_PADDING), 1, 16, 16, 6, covered=False),
        "mean of rows": one(averaged((1,)), 1, 6, 5, 4, covered=False),
        "mean without dimensions": one(averaged((1, 2), keep=False), 1, 6, 5, 8),
    }


def normalized(scale: float, *shape: int, beta: float = 1.0) -> CoreCase:
    """A softmax of an input of this scale."""
    return CoreCase(
        lambda m: m.build(m.unary("softmax", m.input(*shape, quant=QuantParams((scale,), (3,))), beta=beta))
    )


def softmax_cases() -> dict[str, CoreCase]:
    """Sums from one exponential to 4095 equal ones, and scales from which most exponentials are left out."""
    counts = (1, 2, 3, 4, 5, 7, 10, 12, 1000)
    cases = {f"softmax of {n}": normalized(0.05, 1, n) for n in counts}
    cases |= {f"softmax of {n} of scale {s}": normalized(s, 1, n) for s in (1e-6, 0.5, 4.0, 40.0) for n in (11, 4095)}
    return cases | {
        "softmax of pixels": normalized(0.06, 1, 5, 3, 7),
        "softmax of whole words": normalized(0.02, 9, 8),
        "softmax with beta": normalized(0.05, 1, 13, beta=0.3),
        "softmax in place": one(lambda m, x: m.unary("softmax", m.dense(x, 13)), 3, 20),
    }


def quantize_cases() -> dict[str, CoreCase]:
    def quantized(*shape: int, dtype: DType = DType.INT8) -> CoreCase:
        return CoreCase(lambda m: m.build(m.quantize(m.input(*shape, dtype=DType.FLOAT32), dtype)))

    return {
        "quantize an image": quantized(1, 3, 5, 7),
        "quantize one": quantized(1, 1),
        "quantize to uint8": quantized(1, 4, 9, dtype=DType.UINT8),
    }
