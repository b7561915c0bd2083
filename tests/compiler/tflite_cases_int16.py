"""Named TFLite models of one operator each with int16 activations and int8 weights (16x8)."""

from __future__ import annotations

from collections.abc import Callable

from tests.compiler import tflite_models as m
from tests.compiler.tflite_builder import SAME
from tests.compiler.tflite_cases import mean
from tests.compiler.tflite_models import Quant

INT16, INT16_OTHER = Quant(0.001, 0, "int16"), Quant(0.0007, 0, "int16")
INT16_RESULT = Quant(0.0013, 0, "int16")
UNIT16 = Quant(1 / 32768, 0, "int16")

CASES_INT16: dict[str, Callable[[], bytes]] = {
    "conv int16": lambda: m.conv2d((1, 7, 6, 3), 5, (3, 3), padding=SAME, source=INT16, result=INT16_RESULT),
    "conv int16 per tensor relu6": lambda: m.conv2d(
        (1, 5, 6, 8), 4, (1, 1), per_channel=False, activation="relu6", source=INT16, result=Quant(0.0002, 0, "int16")
    ),
    "conv int16 dilated": lambda: m.conv2d(
        (1, 11, 12, 2), 3, (3, 3), dilation_hw=(2, 3), padding=SAME, source=INT16, result=INT16_RESULT
    ),
    "conv int16 without bias": lambda: m.conv2d((1, 4, 4, 3), 4, (3, 3), bias=False, source=INT16, result=INT16_RESULT),
    "depthwise int16": lambda: m.depthwise_conv2d(
        (1, 7, 6, 5), 1, (3, 3), padding=SAME, stride_hw=(2, 2), source=INT16, result=INT16_RESULT
    ),
    "depthwise int16 multiplier 3": lambda: m.depthwise_conv2d(
        (1, 6, 6, 4), 3, (3, 3), bias=False, source=INT16, result=INT16_RESULT
    ),
    "dense int16": lambda: m.fully_connected((1, 40), 10, source=INT16, result=INT16_RESULT),
    "dense int16 without bias": lambda: m.fully_connected((1, 40), 10, bias=False, source=INT16, result=INT16_RESULT),
    "dense int16 per channel": lambda: m.fully_connected(
        (1, 40), 10, per_channel=True, source=INT16, result=INT16_RESULT
    ),
    "average pool int16": lambda: m.pool2d(
        "AVERAGE_POOL_2D", (1, 7, 6, 3), (3, 3), padding=SAME, stride_hw=(2, 2), quant=INT16
    ),
    "max pool int16 relu6": lambda: m.pool2d("MAX_POOL_2D", (1, 7, 6, 3), (3, 3), activation="relu6", quant=INT16),
    "add int16": lambda: m.binary(
        "ADD", (1, 4, 5, 3), (1, 4, 5, 3), left=INT16, right=INT16_OTHER, result=INT16_RESULT
    ),
    "add int16 broadcast relu": lambda: m.binary(
        "ADD", (1, 4, 5, 3), (1, 1, 1, 3), left=INT16, right=INT16_OTHER, result=INT16_RESULT, activation="relu"
    ),
    "add int16 constant": lambda: m.binary(
        "ADD", (1, 4, 5, 3), (3,), left=INT16, right=INT16_OTHER, result=INT16_RESULT, constant_right=True
    ),
    "sub int16": lambda: m.binary(
        "SUB", (1, 4, 5, 3), (1, 4, 5, 3), left=INT16, right=INT16_OTHER, result=INT16_RESULT
    ),
    "mul int16": lambda: m.binary(
        "MUL", (1, 4, 5, 3), (1, 1, 1, 3), left=INT16, right=INT16_OTHER, result=Quant(0.03, 0, "int16")
    ),
    "mean int16": lambda: mean((1, 6, 7, 5), (1, 2), keep=True, source=INT16, result=INT16_OTHER),
    "mean int16 over channels": lambda: mean((1, 6, 7, 5), (3,), keep=False, source=INT16, result=INT16_OTHER),
    "logistic int16": lambda: m.unary("LOGISTIC", "", (1, 4096), source=INT16, result=UNIT16),
    "logistic int16 power of two": lambda: m.unary(
        "LOGISTIC", "", (1, 4096), source=Quant(2**-12, 0, "int16"), result=UNIT16
    ),
    "tanh int16": lambda: m.unary("TANH", "", (1, 4096), source=INT16, result=UNIT16),
    "tanh int16 power of two": lambda: m.unary("TANH", "", (1, 4096), source=Quant(2**-11, 0, "int16"), result=UNIT16),
    "softmax int16": lambda: m.unary(
        "SOFTMAX", "SoftmaxOptions", (1, 3, 40), source=Quant(0.0001, 0, "int16"), result=UNIT16, Beta=1.0
    ),
    "softmax int16 of one": lambda: m.unary("SOFTMAX", "SoftmaxOptions", (5, 1), source=INT16, result=UNIT16, Beta=0.7),
    "relu int16": lambda: m.unary("RELU", "", (1, 999), source=INT16, result=INT16_OTHER),
    "relu6 int16 other scale": lambda: m.unary("RELU6", "", (1, 999), source=INT16, result=INT16_OTHER),
    "quantize int16 to int16": lambda: m.unary(
        "QUANTIZE", "QuantizeOptions", (1, 999), source=INT16, result=INT16_OTHER
    ),
    "quantize int16 to int8": lambda: m.unary(
        "QUANTIZE", "QuantizeOptions", (1, 999), source=INT16, result=Quant(0.07, -9)
    ),
    "quantize int8 to int16": lambda: m.unary(
        "QUANTIZE", "QuantizeOptions", (1, 256), source=Quant(0.07, -9), result=INT16
    ),
    "quantize float to int16": lambda: m.unary(
        "QUANTIZE", "QuantizeOptions", (1, 999), result=INT16_OTHER, dtypes=("float32", "int16")
    ),
    "dequantize int16": lambda: m.unary(
        "DEQUANTIZE", "DequantizeOptions", (1, 999), source=INT16, dtypes=("int16", "float32")
    ),
    "pad int16": lambda: m.with_constants(
        "PAD", "PadOptions", (1, 4, 5, 2), [(1, 7, 6, 2)], [[[0, 0], [1, 2], [0, 1], [0, 0]]], source=INT16
    ),
    "concatenation int16": lambda: m.concatenation([(1, 3, 4, 2), (1, 3, 4, 5)], 3, INT16),
    "reshape int16": lambda: m.with_constants(
        "RESHAPE", "ReshapeOptions", (1, 4, 5, 2), [(1, 40)], [[1, 40]], source=INT16, NewShape=[1, 40]
    ),
    "split int16": lambda: m.with_constants(
        "SPLIT", "SplitOptions", (1, 4, 6, 2), [(1, 4, 3, 2)] * 2, [[2]], source=INT16, input_position=1, NumSplits=2
    ),
}
