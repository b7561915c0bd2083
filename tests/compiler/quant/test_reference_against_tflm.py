"""Every operator: the numpy reference equals TFLM bit for bit, on named cases and on random ones."""

from __future__ import annotations

import os
from math import log2
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.compiler import tflite_models as m
from tests.compiler.oracle import assert_equal_to_tflm
from tests.compiler.tflite_builder import SAME, VALID, ModelBuilder
from tests.compiler.tflite_cases import CASES, SOFTMAX, resize
from tests.compiler.tflite_cases_int16 import CASES_INT16
from tests.compiler.tflite_models import Quant

EXAMPLES = 25 * int(os.environ.get("TINYFARM_FUZZ_EXAMPLES", "1"))
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="TINYFARM_FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("name", CASES)
def test_reference_equals_tflm(name: str) -> None:
    assert_equal_to_tflm(CASES[name]())


@pytest.mark.parametrize("name", CASES_INT16)
def test_int16_reference_equals_tflm(name: str) -> None:
    assert_equal_to_tflm(CASES_INT16[name]())


zero_points = st.integers(-128, 127)


def scales_between(low: float, high: float) -> st.SearchStrategy[float]:
    """Scales spread evenly over octaves, rounded to float32 as files hold them."""
    return st.floats(log2(low), log2(high)).map(lambda exponent: float(np.float32(2.0**exponent)))


scales = scales_between(1e-3, 2.0)
quants = st.builds(Quant, scales, zero_points)
small = st.integers(1, 4)
pairs = st.tuples(small, small)
paddings = st.sampled_from([SAME, VALID])
activations = st.sampled_from(["none", "relu", "relu6", "relu_n1_to_1"])
weight_types = st.sampled_from(["int8", "int4"])
seeds = st.integers(0, 1 << 16)


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    """An image and a window that fits it; TFLite has no stride together with dilation."""
    kernel = draw(pairs)
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (2, 3)]))
    stride = draw(pairs)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    image = (1, reach[0] + draw(st.integers(0, 6)), reach[1] + draw(st.integers(0, 6)), draw(small))
    padding = draw(paddings)
    return {
        "input_shape": image,
        "kernel_hw": kernel,
        "stride_hw": stride,
        "dilation_hw": dilation,
        "padding": padding,
        "activation": draw(activations),
    }


@fuzz
@given(windows(), small, quants, quants, st.booleans(), st.booleans(), weight_types, seeds)
def test_random_conv2d(
    window: dict[str, Any], out_channels: int, source: Quant, result: Quant, per_channel: bool, bias: bool,
    weights: str, seed: int,
) -> None:  # fmt: skip
    quant = {"source": source, "result": result, "per_channel": per_channel, "weights": weights}
    assert_equal_to_tflm(m.conv2d(out_channels=out_channels, **window, **quant, bias=bias, seed=seed), 1, seed)


@fuzz
@given(windows(), small, quants, quants, st.booleans(), st.booleans(), weight_types, seeds)
def test_random_depthwise_conv2d(
    window: dict[str, Any], multiplier: int, source: Quant, result: Quant, per_channel: bool, bias: bool,
    weights: str, seed: int,
) -> None:  # fmt: skip
    quant = {"source": source, "result": result, "per_channel": per_channel, "weights": weights}
    assert_equal_to_tflm(m.depthwise_conv2d(multiplier=multiplier, **window, **quant, bias=bias, seed=seed), 1, seed)


@fuzz
@given(st.integers(1, 90), st.integers(1, 20), quants, quants, activations, st.booleans(), weight_types, seeds)
def test_random_fully_connected(
    features: int, outputs: int, source: Quant, result: Quant, activation: str, per_channel: bool, weights: str,
    seed: int,
) -> None:  # fmt: skip
    """TFLM takes int4 rows with one scale for all only."""
    per_channel = per_channel and weights != "int4"
    quant = {"source": source, "result": result, "per_channel": per_channel, "weights": weights}
    assert_equal_to_tflm(m.fully_connected((1, features), outputs, activation=activation, **quant, seed=seed), 2, seed)


@fuzz
@given(st.sampled_from(["AVERAGE_POOL_2D", "MAX_POOL_2D"]), windows(), quants, seeds)
def test_random_pool2d(kind: str, window: dict[str, Any], quant: Quant, seed: int) -> None:
    arguments = {k: v for k, v in window.items() if k != "dilation_hw"}
    assert_equal_to_tflm(m.pool2d(kind, **arguments, quant=quant), 1, seed)


@fuzz
@given(
    st.sampled_from(["ADD", "SUB", "MUL"]),
    st.sampled_from([((1, 300), (1, 300)), ((1, 3, 4, 5), (1, 1, 1, 5)), ((1, 3, 4, 1), (1, 1, 4, 5))]),
    quants,
    quants,
    scales,
    zero_points,
    activations,
    seeds,
)
def test_random_binary(
    kind: str, shapes: Any, left: Quant, right: Quant, ratio: float, zero_point: int, activation: str, seed: int
) -> None:
    """The output's scale is anywhere the file format allows: TFLM asks for a multiplier below 1 in ADD and SUB."""
    scale = left.scale * right.scale * ratio if kind == "MUL" else max(left.scale, right.scale) * ratio
    result = Quant(float(np.float32(max(scale, 1e-8))), zero_point)
    assert_equal_to_tflm(m.binary(kind, *shapes, left=left, right=right, result=result, activation=activation), 1, seed)


@fuzz
@given(
    st.sampled_from(["LOGISTIC", "TANH", "HARD_SWISH", "LEAKY_RELU", "RELU", "RELU6", "QUANTIZE"]),
    st.builds(Quant, scales_between(1e-4, 3.0), zero_points),
    quants,
    st.floats(-1.0, 2.0, width=32),
)
def test_random_table_operator(kind: str, source: Quant, result: Quant, alpha: float) -> None:
    """All 256 inputs of the operators that become tables."""
    model = ModelBuilder()
    if kind == "LOGISTIC":
        result = Quant(1 / 256, -128)
    elif kind == "TANH":
        result = Quant(1 / 128, 0)
    elif kind == "HARD_SWISH":
        result = Quant(min(max(result.scale, source.scale / 64), source.scale * 64), result.zero_point)
    x = model.activation((1, 256), source.scale, source.zero_point)
    y = model.activation((1, 256), result.scale, result.zero_point)
    options = {"HARD_SWISH": "HardSwishOptions", "LEAKY_RELU": "LeakyReluOptions", "QUANTIZE": "QuantizeOptions"}
    fields = {"Alpha": alpha} if kind == "LEAKY_RELU" else {}
    model.operator(kind, [x], [y], options.get(kind, ""), **fields)
    data = model.build([x], [y])
    assert_equal_to_tflm(data, 4)


@fuzz
@given(st.integers(1, 40), scales_between(1e-4, 10.0), zero_points, scales_between(0.1, 4.0), seeds)
def test_random_softmax(depth: int, scale: float, zero_point: int, beta: float, seed: int) -> None:
    source = Quant(scale, zero_point)
    data = m.unary("SOFTMAX", "SoftmaxOptions", (1, 3, depth), source=source, result=SOFTMAX, Beta=beta)
    assert_equal_to_tflm(data, 3, seed)


@fuzz
@given(
    st.tuples(small, st.integers(1, 9), st.integers(1, 9), small),
    st.sampled_from([(1,), (2,), (3,), (1, 2), (2, 3), (1, 2, 3), (0, 1, 2, 3)]),
    st.booleans(),
    quants,
    quants,
    seeds,
)
def test_random_mean(shape: Any, axes: Any, keep: bool, source: Quant, result: Quant, seed: int) -> None:
    positive = set(axes)
    kept = tuple(1 if i in positive else d for i, d in enumerate(shape) if keep or i not in positive)
    data = m.with_constants(
        "MEAN", "ReducerOptions", shape, [kept], [axes], source=source, result=result, KeepDims=keep
    )
    assert_equal_to_tflm(data, 1, seed)


@fuzz
@given(st.tuples(st.integers(1, 20), st.integers(1, 20)), st.tuples(st.integers(1, 40), st.integers(1, 40)), st.data())
def test_random_resize(image_hw: tuple[int, int], hw: tuple[int, int], data: st.DataObject) -> None:
    option = data.draw(st.sampled_from([{}, {"AlignCorners": True}, {"HalfPixelCenters": True}]))
    assert_equal_to_tflm(resize((1, *image_hw, 2), hw, **option), 1)
