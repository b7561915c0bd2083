"""What exporters and quantizers write around operators: each pattern by name, and the operators that it becomes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.compiler.importers.onnx.qdq_builder import QdqBuilder

Build = Callable[[QdqBuilder], str]


def number(b: QdqBuilder, value: float) -> str:
    return b.initializer(np.array(value, np.float32))


def ints(b: QdqBuilder, *values: int) -> str:
    return b.initializer(np.array(values, np.int64))


def conv(b: QdqBuilder, x: str, outputs: int, inputs: int, **attributes: object) -> str:
    return b.node("Conv", [x, b.weights((outputs, inputs, 1, 1)), b.bias(outputs)], **attributes)


def image(b: QdqBuilder) -> str:
    return b.qdq(conv(b, b.input((1, 3, 4, 5)), 6, 3), 0.05, 1)


def _conv_then(after: Callable[[QdqBuilder, str], str], zero: int = -100) -> Build:
    return lambda b: b.qdq(after(b, conv(b, b.input((1, 3, 4, 5)), 6, 3)), 0.03, zero)


def _clip(low: float, high: float) -> Callable[[QdqBuilder, str], str]:
    return lambda b, x: b.node("Clip", [x, number(b, low), number(b, high)])


def _float_bias(b: QdqBuilder) -> str:
    bias = b.initializer(b.rng.normal(size=6).astype(np.float32))
    return b.qdq(b.node("Conv", [b.input((1, 3, 4, 5)), b.weights((6, 3, 1, 1)), bias]), 0.05, 1)


def _bias_of_another_scale(b: QdqBuilder) -> str:
    bias = b.constant(b.rng.integers(-100, 100, 6).astype(np.int32), np.full(6, 0.013), 0)
    return b.qdq(b.node("Conv", [b.input((1, 3, 4, 5)), b.weights((6, 3, 1, 1)), bias]), 0.05, 1)


def _per_tensor_weights(b: QdqBuilder) -> str:
    return b.qdq(b.node("Conv", [b.input((1, 3, 4, 5)), b.weights((6, 3, 3, 3), axis=None)]), 0.05, 1)


def _uint8_weights(b: QdqBuilder) -> str:
    data = b.rng.integers(0, 256, (6, 3, 1, 1)).astype(np.uint8)
    return b.qdq(b.node("Conv", [b.input((1, 3, 4, 5)), b.constant(data, 0.01, zero=128)]), 0.05, 1)


def _weights_quantized_in_the_graph(b: QdqBuilder) -> str:
    real = b.initializer(b.rng.normal(scale=0.3, size=(6, 3, 1, 1)).astype(np.float32))
    parts = [b.initializer(np.full(6, 0.01, np.float32)), b.initializer(np.zeros(6, np.int8))]
    integers = b.node("QuantizeLinear", [real, *parts], axis=0)
    weights = b.node("DequantizeLinear", [integers, *parts], axis=0)
    return b.qdq(b.node("Conv", [b.input((1, 3, 4, 5)), weights]), 0.05, 1)


def _clipped_weights(b: QdqBuilder) -> str:
    stored = b.initializer(b.rng.integers(-7, 8, (6, 3, 1, 1)).astype(np.int8))
    bounds = [b.initializer(np.array(v, np.int8)) for v in (-7, 7)]
    parts = [b.initializer(np.full(6, 0.1, np.float32)), b.initializer(np.zeros(6, np.int8))]
    weights = b.node("DequantizeLinear", [b.node("Clip", [stored, *bounds]), *parts], axis=0)
    return b.qdq(b.node("Conv", [b.input((1, 3, 4, 5)), weights]), 0.05, 1)


def _transposed_matmul(b: QdqBuilder) -> str:
    weights = b.node("Transpose", [b.weights((7, 24), axis=0)], perm=[1, 0])
    product = b.node("MatMul", [b.input((1, 24)), weights])
    return b.qdq(b.node("Add", [product, b.bias(7)]), 0.1, 4)


def _matmul_bias_first(b: QdqBuilder) -> str:
    product = b.node("MatMul", [b.input((1, 24)), b.weights((24, 7), axis=1)])
    return b.qdq(b.node("Add", [b.initializer(b.rng.normal(size=7).astype(np.float32)), product]), 0.1, 4)


def _matmul_of_rows(b: QdqBuilder) -> str:
    return b.qdq(b.node("MatMul", [b.input((1, 5, 24)), b.weights((24, 7), axis=1)]), 0.1, 4)


def _pooled_gemm(pool: Callable[[QdqBuilder, str], str]) -> Build:
    def build(b: QdqBuilder) -> str:
        return b.qdq(b.node("Gemm", [pool(b, image(b)), b.weights((10, 6)), b.bias(10)], transB=1), 0.1, 4)

    return build


def _reduce_mean_reshape(b: QdqBuilder, x: str) -> str:
    return b.qdq(b.node("Reshape", [b.node("ReduceMean", [x], axes=[2, 3]), ints(b, 1, 6)]), 0.03, 0)


def _computed_reshape(b: QdqBuilder, x: str) -> str:
    """The batch size is read from the value, as exporters of dynamic batches write it."""
    pooled = b.node("GlobalAveragePool", [x])
    batch = b.node("Gather", [b.node("Shape", [pooled]), b.initializer(np.array(0, np.int64))], axis=0)
    shape = b.node("Concat", [b.node("Unsqueeze", [batch, ints(b, 0)]), ints(b, -1)], axis=0)
    return b.node("Reshape", [pooled, shape])


def _hard_swish_of_hard_sigmoid(b: QdqBuilder) -> str:
    x = image(b)
    return b.qdq(b.node("Mul", [x, b.node("HardSigmoid", [x], alpha=1 / 6, beta=0.5)]), 0.04, -110)


def hard_swish_of_quantized_parts(b: QdqBuilder) -> str:
    x = image(b)
    total = b.qdq(b.node("Add", [x, b.constant(np.array(127, np.int8), 3 / 127)]), 0.06, -20)
    gate = b.qdq(b.node("Clip", [total, number(b, 0), number(b, 6)]), 6 / 255, -128)
    sixth = b.qdq(b.node("Div", [gate, number(b, 6)]), 1 / 255, -128)
    return b.qdq(b.node("Mul", [sixth, x]), 0.04, -110)


def _hard_swish_divided_last(b: QdqBuilder) -> str:
    x = image(b)
    gate = b.node("Clip", [b.node("Add", [x, number(b, 3)]), number(b, 0), number(b, 6)])
    return b.qdq(b.node("Div", [b.node("Mul", [x, gate]), number(b, 6)]), 0.04, -110)


def _batch_normalized(b: QdqBuilder, x: str) -> str:
    gain = b.rng.uniform(0.5, 2.0, 6) * np.where(np.arange(6) % 2, -1, 1)
    rest = [b.rng.normal(size=6), b.rng.normal(size=6), b.rng.uniform(0.5, 2.0, 6)]
    return b.node("BatchNormalization", [x, *(b.initializer(v.astype(np.float32)) for v in (gain, *rest))])


def _nhwc_model(b: QdqBuilder) -> str:
    """As tf2onnx writes it: NHWC at the edges, NCHW inside."""
    x = b.node("Transpose", [b.input((1, 4, 5, 3))], perm=[0, 3, 1, 2])
    y = b.qdq(conv(b, x, 6, 3), 0.05, 1)
    return b.node("Transpose", [y], perm=[0, 2, 3, 1])


def _excited(b: QdqBuilder) -> str:
    x = image(b)
    pooled = b.qdq(b.node("GlobalAveragePool", [x]), 0.03, 0)
    gate = b.qdq(b.node("Sigmoid", [b.qdq(conv(b, pooled, 6, 6), 0.05, 1)]), 1 / 256, -128)
    return b.qdq(b.node("Mul", [x, gate]), 0.05, 1)


def _residual(b: QdqBuilder) -> str:
    x = image(b)
    y = b.qdq(conv(b, x, 6, 6), 0.05, 1)
    return b.qdq(b.node("Relu", [b.node("Add", [x, y])]), 0.04, -128)


def _raw_and_behind_relu(b: QdqBuilder) -> str:
    """As residual networks with the activation first have it: sums as they are, and in a finer type behind a Relu."""
    sums = conv(b, b.input((1, 3, 4, 5)), 4, 3)
    behind = b.qdq(b.node("Relu", [sums]), 0.004, -128)
    return b.qdq(b.node("Add", [b.qdq(sums, 0.04, 0), behind]), 0.05, 5)


def _twice_quantized(b: QdqBuilder) -> str:
    """The first type holds the smallest sums only."""
    sums = conv(b, b.input((1, 3, 4, 5)), 4, 3)
    return b.qdq(b.node("Add", [b.qdq(sums, 0.003, -128), b.qdq(sums, 0.04, 0)]), 0.05, 0)


def _nearly_one_type(b: QdqBuilder) -> str:
    sums = conv(b, b.input((1, 3, 4, 5)), 4, 3)
    return b.qdq(b.node("Add", [b.qdq(sums, 0.03, 1), b.qdq(sums, 0.04, 0)]), 0.08, 0)


def _pooled_before_q(b: QdqBuilder) -> str:
    """As quantizers write it that stand before convolutions only."""
    sums = b.node("Relu", [conv(b, b.input((1, 3, 8, 9)), 4, 3)])
    pooled = b.node("MaxPool", [sums], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    return b.qdq(conv(b, b.qdq(pooled, 0.03, -128), 5, 4), 0.05, 0)


def _joined_before_q(b: QdqBuilder) -> str:
    x = b.input((1, 3, 4, 5))
    joined = b.node("Concat", [b.node("Relu", [conv(b, x, 4, 3)]), conv(b, x, 2, 3)], axis=1)
    return b.qdq(conv(b, b.qdq(joined, 0.04, -20), 5, 6), 0.05, 0)


def _padded_float_input(b: QdqBuilder) -> str:
    """As onnxruntime's operator format has it: what stands before the first convolution stays float."""
    padded = b.node("Pad", [b.float_input((1, 3, 9, 7)), ints(b, 0, 0, 0, 0, 0, 0, 1, 1)])
    return b.qdq(conv(b, b.qdq(padded, 0.04, 5), 4, 3), 0.05, 0)


def _padded_before_q(b: QdqBuilder) -> str:
    padded = b.node("Pad", [conv(b, b.input((1, 3, 9, 7)), 4, 3), ints(b, 0, 0, 0, 0, 0, 0, 1, 1)])
    return b.qdq(conv(b, b.qdq(padded, 0.04, 5), 4, 4), 0.05, 0)


def _focused_float_input(b: QdqBuilder) -> str:
    """Every other pixel of every other row, four times: space to depth as detectors write it."""
    x, most = b.float_input((1, 3, 8, 6)), 1 << 62
    starts = [(row, column) for column in (0, 1) for row in (0, 1)]
    parts = [b.node("Slice", [x, ints(b, *s), ints(b, most, most), ints(b, 2, 3), ints(b, 2, 2)]) for s in starts]
    return b.qdq(conv(b, b.qdq(b.node("Concat", parts, axis=1), 0.04, 5), 4, 12), 0.1, 0)


def _input_quantized_twice(b: QdqBuilder) -> str:
    """With a pair of Q and DQ for each reader."""
    x = b.float_input((1, 3, 8, 6))
    sums = b.qdq(conv(b, b.qdq(x, 0.04, 5), 3, 3), 0.05, 1)
    return b.qdq(b.node("Add", [sums, b.qdq(x, 0.04, 5)]), 0.1, 0)


def _factors(op_type: str, *factors: float) -> Build:
    """Real numbers a channel, so far apart that int8 of one scale would make zeros of the small ones."""

    def build(b: QdqBuilder) -> str:
        held = b.initializer(np.array(factors, np.float32).reshape(-1, 1, 1))
        return b.qdq(b.node(op_type, [b.input((1, 6, 4, 5)), held]), 0.05, 1)

    return build


# Pattern -> (model, how many LSB from onnxruntime at most, operators between the edges).
PATTERNS: dict[str, tuple[Build, float, str]] = {
    "relu before Q": (_conv_then(lambda b, x: b.node("Relu", [x])), 1, "Conv2D:relu"),
    "clip to 6 before Q": (_conv_then(_clip(0, 6)), 1, "Conv2D:relu6"),
    "clip to 1 before Q": (_conv_then(_clip(-1, 1), zero=0), 1, "Conv2D:relu_n1_to_1"),
    "clip absorbed by the range of Q": (_conv_then(_clip(0, 7.65), zero=-128), 1, "Conv2D"),
    "clip without an upper bound": (_conv_then(lambda b, x: b.node("Clip", [x, number(b, 0)])), 1, "Conv2D:relu"),
    "Q between conv and relu": (_conv_then(lambda b, x: b.node("Relu", [b.qdq(x, 0.05, 1)])), 2, "Conv2D Relu:relu"),
    "batch normalization before Q": (_conv_then(_batch_normalized, zero=0), 1, "Conv2D"),
    "batch normalization and relu before Q": (
        _conv_then(lambda b, x: b.node("Relu", [_batch_normalized(b, x)])),
        1,
        "Conv2D:relu",
    ),
    "float bias": (_float_bias, 1, "Conv2D"),
    "bias of another scale": (_bias_of_another_scale, 1, "Conv2D"),
    "weights with one scale": (_per_tensor_weights, 1, "Conv2D"),
    "uint8 weights": (_uint8_weights, 1, "Conv2D"),
    "float weights that the graph quantizes": (_weights_quantized_in_the_graph, 1, "Conv2D"),
    "int4 weights as clipped int8": (_clipped_weights, 1, "Conv2D"),
    "Transpose(DQ), MatMul, Add(DQ(INT32))": (_transposed_matmul, 1, "FullyConnected"),
    "MatMul, Add of a float bias": (_matmul_bias_first, 1, "FullyConnected"),
    "MatMul of several rows": (_matmul_of_rows, 1, "FullyConnected Reshape"),
    "ReduceMean, Reshape, Q": (_pooled_gemm(_reduce_mean_reshape), 2, "Conv2D Mean FullyConnected"),
    "GlobalAveragePool, Flatten, no Q between": (
        _pooled_gemm(lambda b, x: b.node("Flatten", [b.node("GlobalAveragePool", [x])])),
        3,
        "Conv2D Mean FullyConnected",
    ),
    "Reshape to a computed shape": (_pooled_gemm(_computed_reshape), 3, "Conv2D Mean FullyConnected"),
    "x * HardSigmoid(x)": (_hard_swish_of_hard_sigmoid, 2, "Conv2D Table"),
    "x * (relu6(x + 3) / 6), all quantized": (hard_swish_of_quantized_parts, 3, "Conv2D Table"),
    "(x * relu6(x + 3)) / 6": (_hard_swish_divided_last, 2, "Conv2D Table"),
    "NHWC edges": (_nhwc_model, 1, "Conv2D"),
    "squeeze and excitation": (_excited, 2, "Conv2D Mean Conv2D Table Mul"),
    "residual with relu": (_residual, 2, "Conv2D Conv2D Add:relu"),
    "one value, two types: as it is, and behind relu": (_raw_and_behind_relu, 1, "Conv2D Conv2D:relu Add"),
    "one value, two types: the first holds little": (_twice_quantized, 1, "Conv2D Conv2D Add"),
    "one value, two types: one serves the other": (_nearly_one_type, 2, "Conv2D Quantize Add"),
    "relu, max pool, Q": (_pooled_before_q, 2, "Conv2D:relu MaxPool2D Conv2D"),
    "factors a channel": (_factors("Mul", 0.01, -100, 0.2, 1, -0.5, 3), 1, "DepthwiseConv2D"),
    "divisors a channel": (_factors("Div", 100, -0.01, 5, 1, -2, 0.3), 1, "DepthwiseConv2D"),
    "float input, pad, Q": (_padded_float_input, 1, "Pad Conv2D"),
    "conv, pad, Q": (_padded_before_q, 2, "Conv2D Pad Conv2D"),
    "float input, slices, concat, Q": (
        _focused_float_input,
        1,
        "StridedSlice StridedSlice StridedSlice StridedSlice Concatenation Conv2D",
    ),
    "float input, Q for each reader": (_input_quantized_twice, 1, "Conv2D Add"),
    "concat, Q": (_joined_before_q, 2, "Conv2D:relu Conv2D Concatenation Conv2D"),
}
