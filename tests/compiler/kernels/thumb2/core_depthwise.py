"""Shapes of depthwise convolutions and their edges."""

from __future__ import annotations

from itertools import product

from services.compiler.ir.activation import Activation
from services.compiler.ir.ops import Padding
from tests.compiler.kernels.thumb2.core_case import (
    NO_PADDING,
    RELU,
    RELU6,
    CoreCase,
    depthwise,
    one,
    shifted_by,
    tuned,
)


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
    return cases | _sizes() | _in_place() | _windows() | _filters() | _multipliers()


def _sizes() -> dict[str, CoreCase]:
    """Images taller than a plane, and as wide as an instruction's offset reaches and wider."""
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
        "depthwise 1x3 wider than an addition reaches": one(depthwise((1, 3)), 1, 1, 2100, 1, covered=False),
    }


def _in_place() -> dict[str, CoreCase]:
    """Outputs over their input, in one go and in chunks."""
    return {
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
        "depthwise 3x1 in chunks in place": one(
            lambda m, x: m.depthwise(m.conv2d(x, 5, (1, 1)), kernel=(3, 1), activation=RELU), 1, 130, 12, 3
        ),
    }


def _windows() -> dict[str, CoreCase]:
    """Windows over the border, and pixels that none reads."""
    return {
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
    }


def _filters() -> dict[str, CoreCase]:
    """Filters of one row or column, and as wide as there are registers for and wider."""
    return {
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
    }


def _multipliers() -> dict[str, CoreCase]:
    """Several output channels of each input channel."""
    return {
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
