"""16x8 TFLite files: what is refused, and a whole network from float input to float output."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from services.compiler.errors import UnsupportedModelError
from services.compiler.importers.tflite import import_tflite
from services.compiler.options import CompileOptions, Core, Kernels
from services.compiler.pipeline import compile_model
from tests.compiler import tflite_models as m
from tests.compiler.tflite_builder import SAME, ModelBuilder
from tests.compiler.tflite_models import Quant

INT16 = Quant(0.001, 0, "int16")


def dense_with(bias: np.ndarray | None, weights: str = "int8", features: int = 8) -> bytes:  # type: ignore[type-arg]
    model = ModelBuilder()
    x, y = model.activation((1, features), 0.001, 0, "int16"), model.activation((1, 3), 0.002, 0, "int16")
    filters = model.constant(np.ones((3, features), np.int8), [0.01], dtype=weights)
    inputs = [x, filters, *([] if bias is None else [model.constant(bias, [0.00001])])]
    model.operator("FULLY_CONNECTED", inputs, [y], "FullyConnectedOptions", FusedActivationFunction=0)
    return model.build([x], [y])


def conv_of_many(bias: type[np.int32] | type[np.int64]) -> bytes:
    model = ModelBuilder()
    x, y = model.activation((1, 4, 4, 600), 0.001, 0, "int16"), model.activation((1, 4, 4, 2), 0.002, 0, "int16")
    inputs = [x, model.constant(np.ones((2, 1, 1, 600), np.int8), [0.01]), model.constant(np.zeros(2, bias), [0.00001])]
    model.operator("CONV_2D", inputs, [y], "Conv2DOptions", Padding=SAME, StrideH=1, StrideW=1)
    return model.build([x], [y])


REFUSALS: dict[str, tuple[Callable[[], bytes], str]] = {
    "int4 weights": (lambda: dense_with(np.zeros(3, np.int64), "int4"), "must be int8 with int16 activations"),
    "int32 bias of a dense layer": (lambda: dense_with(np.zeros(3, np.int32)), "must be int64 with 3 elements"),
    "sums that overflow": (lambda: conv_of_many(np.int32), "must stay below 2**31"),
    "zero point": (
        lambda: m.unary("RELU", "", (1, 9), source=Quant(0.1, 5, "int16"), result=INT16),
        "zero point 5: must be from 0 to 0",
    ),
    "leaky relu": (
        lambda: m.unary("LEAKY_RELU", "LeakyReluOptions", (1, 9), source=INT16, result=INT16, Alpha=0.1),
        "is int16: must be int8",
    ),
    "logistic of another scale": (lambda: m.unary("LOGISTIC", "", (1, 9), source=INT16, result=INT16), "1/32768 and 0"),
    "mixed types": (
        lambda: m.binary("ADD", (1, 9), (1, 9), left=INT16, right=Quant(0.1, 3), result=INT16),
        "is int16: must be int8",
    ),
    "uint8 to int16": (
        lambda: m.unary("QUANTIZE", "QuantizeOptions", (1, 9), source=Quant(0.1, 3, "uint8"), result=INT16),
        "uint8 must become int8 first",
    ),
    "transpose": (
        lambda: m.with_constants("TRANSPOSE", "TransposeOptions", (2, 3), [(3, 2)], [[1, 0]], source=INT16),
        "is int16: must be int8",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusal_says_what_int16_lacks(case: str) -> None:
    build, message = REFUSALS[case]
    with pytest.raises(UnsupportedModelError) as caught:
        import_tflite(build(), "net")
    assert message in str(caught.value)


def test_wide_bias_allows_more_products() -> None:
    assert import_tflite(conv_of_many(np.int64), "net").ops


def test_float_edges_leave_int16_inputs_and_outputs() -> None:
    model = ModelBuilder()
    x, y = model.activation((1, 9), dtype="float32"), model.activation((1, 9), dtype="float32")
    q, r = (model.activation((1, 9), scale, 0, "int16") for scale in (0.001, 1 / 32768))
    model.operator("QUANTIZE", [x], [q], "QuantizeOptions")
    model.operator("TANH", [q], [r], "")
    model.operator("DEQUANTIZE", [r], [y], "DequantizeOptions")
    options = CompileOptions("nucleo-l4r5zi", Core.CORTEX_M4, kernels=Kernels.CORE)
    manifest = compile_model(model.build([x], [y]), "net", options).manifest
    ends = [(t.dtype, t.model_dtype, t.size_bytes) for t in (*manifest.inputs, *manifest.outputs)]
    assert ends == [("int16", "float32", 18)] * 2
