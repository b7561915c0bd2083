"""int16 activations: the numpy reference equals TFLM bit for bit on random operators."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.compiler import tflite_models as m
from tests.compiler.oracle import assert_equal_to_tflm
from tests.compiler.quant.test_reference_against_tflm import activations, fuzz, scales_between, seeds, small, windows
from tests.compiler.tflite_cases import mean
from tests.compiler.tflite_models import Quant

UNIT = Quant(1 / 32768, 0, "int16")
quants = scales_between(1e-4, 1e-2).map(lambda scale: Quant(scale, 0, "int16"))


@fuzz
@given(windows(), small, quants, quants, st.booleans(), st.booleans(), seeds)
def test_random_conv2d(
    window: dict[str, Any], channels: int, source: Quant, result: Quant, per_channel: bool, bias: bool, seed: int
) -> None:
    quant = {"source": source, "result": result, "per_channel": per_channel, "bias": bias}
    assert_equal_to_tflm(m.conv2d(out_channels=channels, **window, **quant, seed=seed), 1, seed)


@fuzz
@given(windows(), small, quants, quants, st.booleans(), st.booleans(), seeds)
def test_random_depthwise_conv2d(
    window: dict[str, Any], multiplier: int, source: Quant, result: Quant, per_channel: bool, bias: bool, seed: int
) -> None:
    quant = {"source": source, "result": result, "per_channel": per_channel, "bias": bias}
    assert_equal_to_tflm(m.depthwise_conv2d(multiplier=multiplier, **window, **quant, seed=seed), 1, seed)


@fuzz
@given(st.integers(1, 90), st.integers(1, 20), quants, quants, activations, st.booleans(), seeds)
def test_random_fully_connected(
    features: int, outputs: int, source: Quant, result: Quant, activation: str, per_channel: bool, seed: int
) -> None:
    quant = {"source": source, "result": result, "per_channel": per_channel}
    assert_equal_to_tflm(m.fully_connected((1, features), outputs, activation=activation, **quant, seed=seed), 2, seed)


@fuzz
@given(st.sampled_from(["ADD", "SUB", "MUL"]), quants, quants, scales_between(0.6, 8.0), activations, seeds)
def test_random_binary(kind: str, left: Quant, right: Quant, ratio: float, activation: str, seed: int) -> None:
    typical = left.scale * right.scale * 2**14 if kind == "MUL" else max(left.scale, right.scale)
    result = Quant(float(np.float32(typical * ratio)), 0, "int16")
    sides = {"left": left, "right": right, "result": result}
    assert_equal_to_tflm(m.binary(kind, (1, 3, 4, 5), (1, 1, 4, 5), activation=activation, **sides), 1, seed)


@fuzz
@given(st.sampled_from([(1,), (3,), (1, 2), (1, 2, 3)]), quants, quants, seeds)
def test_random_mean(axes: tuple[int, ...], source: Quant, result: Quant, seed: int) -> None:
    assert_equal_to_tflm(mean((1, 5, 7, 3), axes, keep=True, source=source, result=result), 1, seed)


@fuzz
@given(st.sampled_from(["LOGISTIC", "TANH"]), scales_between(1e-6, 2.5), seeds)
def test_random_sigmoid(kind: str, scale: float, seed: int) -> None:
    data = m.unary(kind, "", (1, 2048), source=Quant(scale, 0, "int16"), result=UNIT)
    assert_equal_to_tflm(data, 1, seed)


@fuzz
@given(st.integers(1, 40), scales_between(1e-6, 1e-2), scales_between(0.1, 4.0), seeds)
def test_random_softmax(depth: int, scale: float, beta: float, seed: int) -> None:
    source = Quant(scale, 0, "int16")
    assert_equal_to_tflm(
        m.unary("SOFTMAX", "SoftmaxOptions", (1, 3, depth), source=source, result=UNIT, Beta=beta), 2, seed
    )


@fuzz
@given(st.sampled_from(["RELU", "RELU6", "QUANTIZE"]), quants, quants, seeds)
def test_random_rescaling(kind: str, source: Quant, result: Quant, seed: int) -> None:
    options = "QuantizeOptions" if kind == "QUANTIZE" else ""
    assert_equal_to_tflm(m.unary(kind, options, (1, 999), source=source, result=result), 1, seed)
