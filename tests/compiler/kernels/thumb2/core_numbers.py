"""Hostile numbers for layers with weights: shifts, sums, biases, constant channels, weights of four bits."""

from __future__ import annotations

from itertools import product

from services.compiler.ir.activation import Activation
from services.compiler.ir.ops import Padding
from tests.compiler.kernels.thumb2.core_case import (
    NO_PADDING,
    RELU,
    RELU6,
    CoreCase,
    Step,
    all_weights,
    conv,
    dense,
    depthwise,
    even_and_odd,
    four_bits,
    large_bias,
    left_too_far,
    mixed_from_nothing,
    mixed_from_the_left,
    mixed_scales,
    multiplied,
    one,
    shifted_by,
    tuned,
    zeroed,
)


def after_convolution(step: Step) -> Step:
    """`step` on an image that is made here, so that its output may lie over it."""
    return lambda m, x: step(m, m.conv2d(x, 5, (1, 1)))


def dilated_cases() -> dict[str, CoreCase]:
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


def number_cases() -> dict[str, CoreCase]:
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


def four_bit_cases() -> dict[str, CoreCase]:
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
