"""Logistic, Tanh and Softmax on int16: tables with straight lines between their entries, as TFLM's.

Source: tensorflow/lite/kernels/internal/reference/integer_ops/logistic.h and tanh.h, reference/softmax.h, and gen_lut
of common.h in tflite-micro.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import log2
from typing import Any

import numpy as np
import numpy.typing as npt

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Logistic, Softmax, Tanh
from services.compiler.quant.fixed_point import Int64s
from services.compiler.quant.requantize import Multiplier, quantize_multiplier, requantize
from services.compiler.quant.values import Array, quant_of

SIGMOID_ENTRIES = 256
CURVE_ENTRIES = 513
_LOW, _HIGH = -(1 << 15), (1 << 15) - 1
_Curve = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]


@cache
def sigmoid_table() -> npt.NDArray[np.uint16]:
    """Return the logistic function of i / 24 in Q0.16, i from 0 to 255.

    An entry is moved by half of what the line to the next falls short in the middle; from the last on it is all ones.
    """
    at = np.arange(SIGMOID_ENTRIES)
    values = _sigmoid_q16(at)
    short = _sigmoid_q16(at[:-1] + 0.5) - (values[:-1] + values[1:]) / 2
    return np.append(np.rint(values[:-1] + short / 2), 65535).astype(np.uint16)


def _sigmoid_q16(index: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.asarray(65536 / (1 + np.exp(-index / 24)))


@dataclass(frozen=True, slots=True)
class SigmoidScale:
    """(x * multiplier + half) >> shift is the input in steps of 1 / (3 * 4096), for Tanh doubled later."""

    multiplier: int
    shift: int


def sigmoid_scale(graph: Graph, op: Logistic | Tanh) -> SigmoidScale:
    """Return the factor of the input; powers of two that need no rounding are exact."""
    scale = quant_of(graph, op.input).scale[0]
    exponent = round(log2(scale))
    left = 12 + exponent
    if abs(log2(scale) - exponent) < 1e-3 and left in ((0,) if isinstance(op, Logistic) else (0, 1)):
        return SigmoidScale(3 << left, 0)
    factor, shift = scale * 4096.0 * 3.0, 0
    while factor <= 32767.0 / 2.0 and shift <= 30:
        factor, shift = factor * 2.0, shift + 1
    return SigmoidScale(int(factor), shift)


def logistic_int16(graph: Graph, op: Logistic, x: Array) -> Array:
    """Return the logistic function with scale 2**-15."""
    steps = _steps(sigmoid_scale(graph, op), x)
    value = _sigmoid_of(np.abs(steps), 9, 0x7FFF << 10)
    signed = np.where(steps >= 0, value + (1 << 9), (1 << 25) - value + (1 << 9) - 1)
    return np.asarray(signed >> 10).astype(np.int16)


def tanh_int16(graph: Graph, op: Tanh, x: Array) -> Array:
    """Return the hyperbolic tangent with scale 2**-15, as 2 * logistic(2 x) - 1."""
    steps = _steps(sigmoid_scale(graph, op), x)
    value = _sigmoid_of(np.abs(steps), 8, 0xFFFF << 8)
    signed = np.where(steps >= 0, value - (1 << 23) + (1 << 7), -value + (1 << 23) + (1 << 7) - 1)
    return np.asarray(signed >> 8).astype(np.int16)


def _steps(scale: SigmoidScale, x: Array) -> Int64s:
    half = 1 << (scale.shift - 1) if scale.shift > 0 else 0
    return np.asarray((x.astype(np.int64) * scale.multiplier + half) >> scale.shift)


def _sigmoid_of(magnitude: Int64s, bits: int, saturated: int) -> Int64s:
    """Return the table's value with `bits` more fraction bits, between entries by a straight line."""
    table = sigmoid_table().astype(np.int64)
    index = np.minimum(magnitude >> bits, SIGMOID_ENTRIES - 2)
    fraction = magnitude & ((1 << bits) - 1)
    line = (table[index] << bits) + fraction * (table[index + 1] - table[index])
    return np.where(magnitude >> bits >= SIGMOID_ENTRIES - 1, saturated, line)


@cache
def exp_curve() -> npt.NDArray[np.int16]:
    """Return exp from -10 to 0 in Q0.15."""
    return _curve(np.exp, -10.0, 0.0)


@cache
def reciprocal_curve() -> npt.NDArray[np.int16]:
    """Return 1 / (1 + x) for x from 0 to 1 in Q0.15."""
    return _curve(lambda x: np.float32(1.0) / (np.float32(1.0) + x), 0.0, 1.0)


def _curve(function: _Curve, start: float, stop: float) -> npt.NDArray[np.int16]:
    """Return 513 entries, each moved by half of the error that the line to the next makes in the middle."""
    one = np.float32
    step = (one(stop) - one(start)) / one(CURVE_ENTRIES - 1)
    at = one(start) + np.arange(CURVE_ENTRIES - 1, dtype=np.float32) * step
    after = one(start) + np.arange(1, CURVE_ENTRIES, dtype=np.float32) * step
    scale = one(65536.0 / 2.0)
    values, middles, nexts = (function(x) * scale for x in (at, at + step / one(2.0), after))
    lines = _round((nexts + _round(values)) / one(2.0))
    entries = _round(values) - _round((lines - _round(middles)) / one(2.0))
    last = _round(function(np.array([stop], np.float32)) * scale)
    curve: npt.NDArray[np.int16] = np.clip(np.concatenate([entries, last]), _LOW, _HIGH).astype(np.int16)
    return curve


def _round(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Halves away from zero, as C's roundf."""
    return (np.sign(x) * np.floor(np.abs(x) + np.float32(0.5))).astype(np.float32)


def look_up(curve: npt.NDArray[np.int16], x: Int64s) -> Int64s:
    """Return a curve at int16 values, whose range is the curve's."""
    index, wide = 256 + (x >> 7), curve.astype(np.int64)
    slope = wide[index + 1] - wide[index]
    found: Int64s = wide[index] + ((slope * (x & 0x7F) + 64) >> 7)
    return found


def softmax_scale(graph: Graph, op: Softmax) -> Multiplier:
    """Return the multiplier that brings differences of inputs to 65535 steps over [-10, 0]."""
    return quantize_multiplier(quant_of(graph, op.input).scale[0] * float(np.float32(op.beta)) / (10.0 / 65535.0))


def softmax_int16(graph: Graph, op: Softmax, x: Array) -> Array:
    """Return the softmax over the last axis with scale 2**-15."""
    scale, values = softmax_scale(graph, op), x.astype(np.int64)
    steps = requantize(values - values.max(axis=-1, keepdims=True), scale.value, scale.shift)
    exps = look_up(exp_curve(), np.clip(steps + 32767, _LOW, _HIGH))
    total = exps.sum(axis=-1, keepdims=True)
    zeros = 32 - np.frompyfunc(lambda v: int(v).bit_length(), 1, 1)(total).astype(np.int64)
    shifted = ((total << (zeros - 1)) + (1 << 13)) >> 14
    reciprocal = look_up(reciprocal_curve(), np.clip(shifted - (1 << 15) - (1 << 16), _LOW, _HIGH))
    right = 31 - zeros
    result = (exps * reciprocal + (1 << (right - 1))) >> right
    clipped: Array = np.clip(result, 0, _HIGH).astype(np.int16)
    return clipped
