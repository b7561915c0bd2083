"""Shapes of convolutions, depthwise convolutions and fully connected layers, and their edges."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from services.compiler.ir.ops import Activation, Padding
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
    shifted_by,
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


def depthwise_cases() -> dict[str, CoreCase]:
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
    return cases | _depthwise_edges()


def _depthwise_edges() -> dict[str, CoreCase]:
    """Large and tiny images, windows over the border, outputs over their input, and what is refused."""
    return {
        "depthwise tall": one(depthwise((3, 3)), 1, 150, 12, 2),
        "depthwise tall stride 2": one(depthwise((5, 5), (2, 2), activation=RELU6), 1, 151, 13, 3),
        "depthwise tall with rows skipped": one(depthwise((2, 3), (3, 1)), 1, 160, 12, 2),
        "depthwise tall padded far": one(depthwise((7, 3), padding=Padding(6, 6, 1, 1)), 1, 130, 12, 2),
        "depthwise wide": one(depthwise((3, 3)), 1, 7, 120, 2),
        "depthwise wide 7x7": one(depthwise((7, 7), activation=RELU), 1, 9, 70, 2),
        "depthwise as wide as loads reach": one(depthwise((3, 3), (2, 2)), 1, 9, 250, 1),
        "depthwise wider than loads reach": one(depthwise((3, 3)), 1, 5, 260, 2),
        "depthwise 7x7 wider than loads reach": one(depthwise((7, 7), activation=RELU), 1, 9, 120, 2),
        "depthwise 5x5 stride 2 wider than loads reach": one(depthwise((5, 5), (2, 2)), 1, 9, 201, 3),
        "depthwise too wide": one(depthwise((3, 3)), 1, 5, 700, 2, covered=False),
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
