"""Shapes of convolutions and fully connected layers, their edges, and every kernel's activations."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from services.compiler.ir.activation import Activation
from services.compiler.ir.ops import Padding
from tests.compiler.kernels.thumb2.core_case import (
    NO_PADDING,
    RELU,
    RELU6,
    CoreCase,
    Step,
    conv,
    dense,
    depthwise,
    one,
    output,
    strided,
    tuned,
)


def pointwise_cases() -> dict[str, CoreCase]:
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


def convolution_cases() -> dict[str, CoreCase]:
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


def signal_cases() -> dict[str, CoreCase]:
    """Images of one column, whose windows lie in one piece: used where they are, assembled at the ends."""
    cases = {
        f"signal {k} of {c} channels by {s}": one(lambda m, x, k=k, s=s: m.conv2d(x, 5, (k, 1), (s, 1)), 1, h, 1, c)
        for (k, c), s, h in zip(product((2, 3, 4, 8), (1, 2, 3, 4)), (1, 2, 3, 4) * 4, (7, 16, 23, 40) * 4, strict=True)
    }
    return cases | {
        "signal of many taps": one(lambda m, x: m.conv2d(x, 8, (80, 1), (4, 1), activation=RELU), 1, 300, 1, 1),
        "signal shorter than its window": one(conv(3, (9, 1)), 1, 4, 1, 4),
        "signal padded far": one(conv(6, (3, 1), padding=Padding(top=5, bottom=4)), 1, 6, 1, 4),
        "signal as one window": one(conv(7, (6, 1), padding=NO_PADDING), 1, 6, 1, 3),
        "signal dilated": one(lambda m, x: m.conv2d(x, 4, (3, 1), dilation=(2, 1)), 1, 15, 1, 4),
        "signal padded at the sides": one(conv(4, (3, 1), padding=Padding(1, 1, 1, 0)), 1, 9, 1, 4),
    }


def dense_cases() -> dict[str, CoreCase]:
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


def activation_cases() -> dict[str, CoreCase]:
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
