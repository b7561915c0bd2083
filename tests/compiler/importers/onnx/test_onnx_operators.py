"""Every operator alone, as exporters write it, against onnxruntime: within 1 LSB."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from services.compiler.ir.text import print_graph
from tests.compiler.importers.onnx.agreement import compare
from tests.compiler.importers.onnx.qdq_builder import QdqBuilder

Build = Callable[[QdqBuilder], str]
IMAGE = (1, 6, 9, 8)


def _conv(
    b: QdqBuilder, weights: tuple[int, ...], shape: tuple[int, ...] = IMAGE, bias: bool = True, **attributes: object
) -> str:
    inputs = [b.input(shape), b.weights(weights)] + ([b.bias(weights[0])] if bias else [])
    return b.qdq(b.node("Conv", inputs, **attributes), 0.08, -5)


def _unary(op_type: str, scale: float = 0.05, zero: int = 0, **attributes: object) -> Build:
    return lambda b: b.qdq(b.node(op_type, [b.input(IMAGE)], **attributes), scale, zero)


def _binary(op_type: str, shape: tuple[int, ...] = IMAGE, scale: float = 0.09) -> Build:
    def build(b: QdqBuilder) -> str:
        left, right = b.input(IMAGE, 0.04, 3), b.input(shape, 0.03, -7, name="y")
        return b.qdq(b.node(op_type, [left, right]), scale, 2)

    return build


def _with_constant(op_type: str, constant: Callable[[QdqBuilder], str], scale: float = 0.1) -> Build:
    return lambda b: b.qdq(b.node(op_type, [b.input(IMAGE), constant(b)]), scale, 2)


def _channel_constant(b: QdqBuilder) -> str:
    return b.constant(b.rng.integers(-128, 128, (1, 6, 1, 1)).astype(np.int8), 0.02, zero=5)


def _float_scalar(value: float) -> Callable[[QdqBuilder], str]:
    return lambda b: b.initializer(np.array(value, np.float32))


def _gemm(b: QdqBuilder, weights: tuple[int, int], **attributes: object) -> str:
    axis, outputs = (0, weights[0]) if attributes.get("transB") else (1, weights[1])
    inputs = [b.input((1, 24)), b.weights(weights, axis=axis), b.bias(outputs)]
    return b.qdq(b.node("Gemm", inputs, **attributes), 0.1, 4)


def _flattened(flatten: Callable[[QdqBuilder, str], str]) -> Build:
    """Conv, then a change of shape, then Gemm: the weights' columns must follow NHWC."""

    def build(b: QdqBuilder) -> str:
        image = b.qdq(b.node("Conv", [b.input((1, 3, 5, 4)), b.weights((6, 3, 1, 1))]), 0.05, 1)
        flat = flatten(b, image)
        return b.qdq(b.node("Gemm", [flat, b.weights((10, 120)), b.bias(10, 1e-4)], transB=1), 0.2, 4)

    return build


def _ints(b: QdqBuilder, *values: int) -> str:
    return b.initializer(np.array(values, np.int64))


def _pool(op_type: str, shape: tuple[int, ...] = IMAGE, **attributes: object) -> Build:
    return lambda b: b.qdq(b.node(op_type, [b.input(shape, 0.05, 3)], **attributes), 0.05, 3)


def _resize(sizes: bool, scale: float, **attributes: str) -> Build:
    def build(b: QdqBuilder) -> str:
        x = b.input((1, 3, 4, 6), 0.05, 3)
        if sizes:
            target = _ints(b, 1, 3, int(4 * scale), int(6 * scale))
            resized = b.node("Resize", [x, "", "", target], **attributes)
        else:
            resized = b.node("Resize", [x, "", b.initializer(np.array([1, 1, scale, scale], np.float32))], **attributes)
        return b.qdq(resized, 0.05, 3)

    return build


def _concat(axis: int) -> Build:
    def build(b: QdqBuilder) -> str:
        parts = [b.input(IMAGE, 0.04, 3), b.input(IMAGE, 0.06, -9, name="y")]
        return b.qdq(b.node("Concat", parts, axis=axis), 0.06, -4)

    return build


def _slice(b: QdqBuilder) -> str:
    bounds = [_ints(b, 1, 2), _ints(b, 5, 9), _ints(b, 1, 2), _ints(b, 1, 3)]
    return b.qdq(b.node("Slice", [b.input(IMAGE, 0.05, 3), *bounds]), 0.05, 3)


def _gather(index: object) -> Build:
    return lambda b: b.qdq(
        b.node("Gather", [b.input(IMAGE, 0.05, 3), b.initializer(np.array(index, np.int64))], axis=2), 0.05, 3
    )


def _split_and_add(b: QdqBuilder) -> str:
    first = b.node("Split", [b.input(IMAGE, 0.05, 3), _ints(b, 2, 4)], outputs=2, axis=1)
    a, c = b.qdq(first, 0.05, 3), b.qdq(f"{first}_1", 0.05, 3)
    total = b.node("ReduceMean", [a], axes=[1], keepdims=1)
    return b.qdq(b.node("Add", [c, b.qdq(total, 0.05, 0)]), 0.08, 0)


def _pad(b: QdqBuilder) -> str:
    pads = _ints(b, 0, 0, 1, 2, 0, 0, 3, 0)
    return b.qdq(b.node("Pad", [b.input(IMAGE, 0.05, 3), pads, b.initializer(np.array(0.5, np.float32))]), 0.05, 3)


def _batch_normalization(b: QdqBuilder) -> str:
    factors = [b.initializer(b.rng.uniform(0.5, 2.0, 6).astype(np.float32)) for _ in range(4)]
    return b.qdq(b.node("BatchNormalization", [b.input(IMAGE), *factors]), 0.08, 0)


def _channel_shuffle(b: QdqBuilder) -> str:
    grouped = b.node("Reshape", [b.input(IMAGE, 0.05, 3), _ints(b, 1, 2, 3, 9, 8)])
    moved = b.node("Transpose", [grouped], perm=[0, 2, 1, 3, 4])
    return b.qdq(b.node("Reshape", [moved, _ints(b, 1, 6, 9, 8)]), 0.05, 3)


def _transposed(
    weights: tuple[int, ...], shape: tuple[int, ...] = (1, 6, 5, 4), bias: bool = True, **attributes: object
) -> Build:
    def build(b: QdqBuilder) -> str:
        inputs = [b.input(shape), b.weights(weights, axis=1)] + ([b.bias(weights[1])] if bias else [])
        return b.qdq(b.node("ConvTranspose", inputs, **attributes), 0.08, -5)

    return build


def _prelu(slopes: tuple[int, ...]) -> Build:
    return lambda b: b.qdq(
        b.node("PRelu", [b.input(IMAGE), b.initializer(b.rng.uniform(-0.2, 0.5, slopes).astype(np.float32))]), 0.05, -20
    )


def _reduction(op_type: str, *axes: int, scale: float = 0.05, zero: int = 3, **attributes: int) -> Build:
    """Axes as an attribute, as opset 17 has them, or for ReduceSum as an input."""

    def build(b: QdqBuilder) -> str:
        x = b.input(IMAGE, 0.05, 3)
        if op_type == "ReduceSum":
            return b.qdq(b.node(op_type, [x, _ints(b, *axes)], **attributes), scale, zero)
        return b.qdq(b.node(op_type, [x], axes=list(axes), **attributes), scale, zero)

    return build


def _mirrored(mode: str) -> Build:
    return lambda b: b.qdq(
        b.node("Pad", [b.input(IMAGE, 0.05, 3), _ints(b, 0, 0, 1, 2, 0, 0, 3, 0)], mode=mode), 0.05, 3
    )


def _backwards(b: QdqBuilder) -> str:
    bounds = [_ints(b, 8, -1), _ints(b, 1, -9), _ints(b, 2, 3), _ints(b, -2, -1)]
    return b.qdq(b.node("Slice", [b.input(IMAGE, 0.05, 3), *bounds]), 0.05, 3)


def _sequence_resize(b: QdqBuilder) -> str:
    x = b.input((1, 3, 7), 0.05, 3)
    scales = b.initializer(np.array([1, 1, 2], np.float32))
    return b.qdq(b.node("Resize", [x, "", scales], mode="linear"), 0.05, 3)


LINEAR = {"mode": "linear"}
CASES: dict[str, Build] = {
    "conv 1x1": lambda b: _conv(b, (5, 6, 1, 1)),
    "conv 3x3 padded": lambda b: _conv(b, (5, 6, 3, 3), pads=[1, 1, 1, 1]),
    "conv without bias": lambda b: _conv(b, (5, 6, 3, 3), bias=False),
    "conv stride 2 with uneven pads": lambda b: _conv(b, (5, 6, 3, 3), pads=[0, 1, 2, 1], strides=[2, 2]),
    "conv dilated": lambda b: _conv(b, (5, 6, 3, 3), pads=[2, 2, 2, 2], dilations=[2, 2]),
    "conv SAME_UPPER": lambda b: _conv(b, (5, 6, 3, 3), auto_pad="SAME_UPPER", strides=[2, 2]),
    "conv SAME_LOWER": lambda b: _conv(b, (5, 6, 4, 4), auto_pad="SAME_LOWER", strides=[2, 2]),
    "conv VALID": lambda b: _conv(b, (5, 6, 4, 2), auto_pad="VALID"),
    "conv 10x4": lambda b: _conv(b, (8, 1, 10, 4), shape=(1, 1, 49, 10), strides=[2, 2], pads=[4, 1, 5, 1]),
    "conv 1-D": lambda b: _conv(b, (5, 6, 3), shape=(1, 6, 20), strides=[2], pads=[1, 1]),
    "depthwise 1-D": lambda b: _conv(b, (6, 1, 3), shape=(1, 6, 20), group=6, pads=[1, 1]),
    "depthwise": lambda b: _conv(b, (6, 1, 3, 3), group=6, pads=[1, 1, 1, 1]),
    "depthwise with multiplier": lambda b: _conv(b, (12, 1, 5, 5), group=6, pads=[2, 2, 2, 2], strides=[2, 2]),
    "grouped conv": lambda b: _conv(b, (4, 3, 3, 3), group=2),
    "gemm": lambda b: _gemm(b, (24, 7)),
    "gemm transB": lambda b: _gemm(b, (7, 24), transB=1),
    "gemm alpha and beta": lambda b: _gemm(b, (7, 24), transB=1, alpha=0.5, beta=2.0),
    "flatten before gemm": _flattened(lambda b, x: b.node("Flatten", [x])),
    "quantized flatten before gemm": _flattened(lambda b, x: b.qdq(b.node("Flatten", [x]), 0.05, 1)),
    "reshape to -1 before gemm": _flattened(lambda b, x: b.node("Reshape", [x, _ints(b, 1, -1)])),
    "NHWC transpose and reshape before gemm": _flattened(
        lambda b, x: b.node("Reshape", [b.node("Transpose", [x], perm=[0, 2, 3, 1]), _ints(b, 1, 120)])
    ),
    "add": _binary("Add"),
    "sub": _binary("Sub"),
    "mul": _binary("Mul"),
    "add broadcast over the image": _binary("Add", (1, 6, 1, 1)),
    "mul by excitation": _binary("Mul", (1, 6, 1, 1)),
    "mul of lower rank": _with_constant("Mul", lambda b: b.weights((9, 8), axis=None)),
    "add a constant a channel": _with_constant("Add", _channel_constant),
    "mul a constant a channel": _with_constant("Mul", _channel_constant),
    "mul a float scalar": _with_constant("Mul", _float_scalar(0.7)),
    "div by a float scalar": _with_constant("Div", _float_scalar(4.0)),
    "relu": _unary("Relu", 0.03, -128),
    "relu with the input's type": _unary("Relu", 0.05, 3),
    "clip 0 to 6 as attributes": lambda b: b.qdq(
        b.node("Clip", [b.input(IMAGE), *(b.initializer(np.array(v, np.float32)) for v in (0, 6))]), 0.03, -100
    ),
    "clip 0 to 2.5": lambda b: b.qdq(
        b.node("Clip", [b.input(IMAGE), *(b.initializer(np.array(v, np.float32)) for v in (0, 2.5))]), 0.02, -100
    ),
    "leaky relu": _unary("LeakyRelu", 0.05, -20, alpha=0.1),
    "sigmoid": _unary("Sigmoid", 1 / 256, -128),
    "tanh": _unary("Tanh", 1 / 128, 0),
    "hard swish": _unary("HardSwish", 0.04, -110),
    "hard sigmoid": _unary("HardSigmoid", 1 / 255, -128, alpha=1 / 6),
    "softmax over channels": _unary("Softmax", 1 / 256, -128, axis=1),
    "softmax in 255ths": _unary("Softmax", 1 / 255, -128, axis=-1),
    "batch normalization alone": _batch_normalization,
    "max pool": _pool("MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
    "max pool padded": _pool("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "max pool ceil": _pool("MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    "max pool 1-D": _pool("MaxPool", (1, 6, 20), kernel_shape=[3], strides=[2]),
    "average pool": _pool("AveragePool", kernel_shape=[3, 2], strides=[2, 2]),
    "average pool padded": _pool("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    "average pool counting padding": _pool("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
    "average pool of the image": _pool("AveragePool", kernel_shape=[9, 8]),
    "global average pool": _unary("GlobalAveragePool", 0.02, -3),
    "global average pool 1-D": lambda b: b.qdq(b.node("GlobalAveragePool", [b.input((1, 6, 20))]), 0.02, -3),
    "reduce mean over the image": _unary("ReduceMean", 0.02, -3, axes=[2, 3], keepdims=0),
    "reduce mean over channels": _unary("ReduceMean", 0.02, -3, axes=[1]),
    "concat channels": _concat(1),
    "concat rows": _concat(-2),
    "slice": _slice,
    "gather one row": _gather(3),
    "gather every second row": _gather([0, 2, 4]),
    "split": _split_and_add,
    "pad": _pad,
    "resize nearest by scale, asymmetric floor": _resize(
        False, 2.0, coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    ),
    "resize nearest by size, half pixel": _resize(True, 3.0, coordinate_transformation_mode="half_pixel"),
    "resize nearest down": _resize(False, 0.5, coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    "resize bilinear, half pixel": _resize(False, 2.0, **LINEAR),
    "resize bilinear down": _resize(False, 0.5, **LINEAR),
    "resize bilinear, asymmetric": _resize(True, 3.0, **LINEAR, coordinate_transformation_mode="asymmetric"),
    "resize bilinear, align corners": _resize(True, 2.0, **LINEAR, coordinate_transformation_mode="align_corners"),
    "resize bilinear of a sequence": _sequence_resize,
    "transposed conv 2x2 stride 2": _transposed((6, 5, 2, 2), strides=[2, 2]),
    "transposed conv 3x3 stride 2": _transposed((6, 5, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
    "transposed conv 4x4 stride 2": _transposed((6, 5, 4, 4), strides=[2, 2], pads=[1, 1, 1, 1], bias=False),
    "transposed conv uneven": _transposed((6, 5, 5, 3), strides=[3, 2], pads=[1, 0, 2, 1]),
    "transposed conv stride 1": _transposed((6, 5, 3, 3), pads=[1, 1, 1, 1]),
    "transposed conv dilated": _transposed((6, 5, 3, 2), strides=[2, 2], dilations=[2, 3]),
    "transposed conv of a shape": _transposed((6, 5, 3, 3), strides=[2, 2], output_shape=[10, 8]),
    "transposed conv SAME_UPPER": _transposed((6, 5, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER"),
    "transposed conv 1-D": _transposed((6, 5, 4), (1, 6, 9), strides=[2], pads=[1, 1]),
    "max of two": _binary("Max"),
    "min with a vector": _binary("Min", (1, 6, 1, 1)),
    "max with a number": _with_constant("Max", _float_scalar(-0.7), 0.05),
    "min with a number": _with_constant("Min", _float_scalar(1.1), 0.05),
    "prelu a slope a channel": _prelu((6, 1, 1)),
    "prelu one slope": _prelu((1,)),
    "global max pool": _unary("GlobalMaxPool", 0.05, 3),
    "reduce max over the image": _reduction("ReduceMax", 2, 3, keepdims=0),
    "reduce sum over the image": _reduction("ReduceSum", 2, 3, scale=0.5, keepdims=0),
    "reduce sum over channels": _reduction("ReduceSum", 1, scale=0.3),
    "pad reflecting": _mirrored("reflect"),
    "pad repeating the edge": _mirrored("edge"),
    "slice backwards": _backwards,
    "number minus x": lambda b: b.qdq(b.node("Sub", [_float_scalar(1.0)(b), b.input(IMAGE)]), 0.05, 3),
    "number over x": lambda b: b.qdq(b.node("Div", [_float_scalar(0.3)(b), b.input(IMAGE)]), 0.05, 3),
    "square": _with_constant("Pow", _float_scalar(2.0), 0.4),
    "clip -0.4 to 2.5": lambda b: b.qdq(
        b.node(
            "Clip",
            [b.input(IMAGE), b.initializer(np.array(-0.4, np.float32)), b.initializer(np.array(2.5, np.float32))],
        ),
        0.03,
        -20,
    ),
    "abs": _unary("Abs", 0.05, -100),
    "neg": _unary("Neg", 0.05, 4),
    "exp": _unary("Exp", 0.3, -128),
    "log": _unary("Log", 0.03, 20),
    "sqrt": _unary("Sqrt", 0.02, -128),
    "reciprocal": _unary("Reciprocal", 0.1, 3),
    "elu": _unary("Elu", 0.05, -90, alpha=0.8),
    "selu": _unary("Selu", 0.05, -90),
    "celu": _unary("Celu", 0.05, -90, alpha=1.5),
    "softplus": _unary("Softplus", 0.03, -128),
    "softsign": _unary("Softsign", 1 / 128, 0),
    "thresholded relu": _unary("ThresholdedRelu", 0.05, -100, alpha=0.7),
    "shrink": _unary("Shrink", 0.05, 0, lambd=0.4, bias=0.1),
    "erf": _unary("Erf", 1 / 128, 0),
    "sine": _unary("Sin", 1 / 128, 0),
    "sign": _unary("Sign", 0.01, 0),
    "floor": _unary("Floor", 0.05, 0),
    "round": _unary("Round", 0.05, 0),
    "sigmoid in 255ths": _unary("Sigmoid", 1 / 255, -128),
    "hard sigmoid of another slope": _unary("HardSigmoid", 0.006, -120, alpha=0.3, beta=0.4),
    "depth to space": lambda b: b.qdq(b.node("DepthToSpace", [b.input((1, 8, 3, 5), 0.05, 3)], blocksize=2), 0.05, 3),
    "space to depth": lambda b: b.qdq(b.node("SpaceToDepth", [b.input((1, 2, 6, 4), 0.05, 3)], blocksize=2), 0.05, 3),
    "channel shuffle": _channel_shuffle,
    "transpose": lambda b: b.qdq(b.node("Transpose", [b.input(IMAGE, 0.05, 3)], perm=[0, 3, 1, 2]), 0.05, 3),
    "squeeze and unsqueeze": lambda b: b.qdq(
        b.node("Squeeze", [b.node("Unsqueeze", [b.input(IMAGE, 0.05, 3), _ints(b, 2)]), _ints(b, 0)]), 0.05, 3
    ),
    "requantize": lambda b: b.qdq(b.input(IMAGE), 0.11, 10),
}


# Double rounding: the pool or the sum is rounded in the input's type first, then brought to the output's.
@pytest.mark.parametrize("activations", ["int8", "uint8"])
@pytest.mark.parametrize("case", CASES)
def test_operator_is_within_1_lsb_of_onnxruntime(case: str, activations: str) -> None:
    builder = QdqBuilder(seed=len(case), activations=activations)
    agreement = compare(builder.build(CASES[case](builder)))
    assert agreement.worst_lsb <= 1.001, print_graph(agreement.graph)


FUNCTIONS_OF_LATER_OPSETS: dict[str, tuple[str, int, dict[str, object]]] = {
    "gelu": ("Gelu", 20, {}),
    "gelu by tanh": ("Gelu", 20, {"approximate": "tanh"}),
    "mish": ("Mish", 18, {}),
}


@pytest.mark.parametrize("name", FUNCTIONS_OF_LATER_OPSETS)
def test_function_of_a_later_opset_agrees(name: str) -> None:
    op_type, opset, attributes = FUNCTIONS_OF_LATER_OPSETS[name]
    b = QdqBuilder(opset=opset)
    agreement = compare(b.build(b.qdq(b.node(op_type, [b.input(IMAGE)], **attributes), 0.05, -100)))
    assert agreement.worst_lsb <= 1.001


EXACT = [
    name for name in CASES if name in ("abs", "exp", "sigmoid in 255ths", "elu", "hard swish", "leaky relu", "erf")
]


@pytest.mark.parametrize("name", EXACT)
def test_function_equals_onnxruntime(name: str) -> None:
    """A table holds what the float operator between its quantizers comes to, so nothing differs."""
    b = QdqBuilder()
    assert compare(b.build(CASES[name](b))).worst_lsb == 0
