"""What exporters and quantizers write around operators: each pattern named, its graph read, its numbers compared."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from onnx import TensorProto, helper

from services.compiler.errors import UnsupportedModelError
from services.compiler.importers.onnx.importer import build_graph
from services.compiler.importers.onnx.weights import Weights
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import FullyConnected, Table
from services.compiler.ir.tensor import DType
from services.compiler.ir.text import print_graph
from tests.compiler.importers.onnx.agreement import compare
from tests.compiler.importers.onnx.qdq_builder import QdqBuilder

Build = Callable[[QdqBuilder], str]


def _number(b: QdqBuilder, value: float) -> str:
    return b.initializer(np.array(value, np.float32))


def _ints(b: QdqBuilder, *values: int) -> str:
    return b.initializer(np.array(values, np.int64))


def _conv(b: QdqBuilder, x: str, outputs: int, inputs: int, **attributes: object) -> str:
    return b.node("Conv", [x, b.weights((outputs, inputs, 1, 1)), b.bias(outputs)], **attributes)


def _image(b: QdqBuilder) -> str:
    return b.qdq(_conv(b, b.input((1, 3, 4, 5)), 6, 3), 0.05, 1)


def _conv_then(after: Callable[[QdqBuilder, str], str], zero: int = -100) -> Build:
    return lambda b: b.qdq(after(b, _conv(b, b.input((1, 3, 4, 5)), 6, 3)), 0.03, zero)


def _clip(low: float, high: float) -> Callable[[QdqBuilder, str], str]:
    return lambda b, x: b.node("Clip", [x, _number(b, low), _number(b, high)])


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
        return b.qdq(b.node("Gemm", [pool(b, _image(b)), b.weights((10, 6)), b.bias(10)], transB=1), 0.1, 4)

    return build


def _reduce_mean_reshape(b: QdqBuilder, x: str) -> str:
    return b.qdq(b.node("Reshape", [b.node("ReduceMean", [x], axes=[2, 3]), _ints(b, 1, 6)]), 0.03, 0)


def _computed_reshape(b: QdqBuilder, x: str) -> str:
    """The batch size is read from the value, as exporters of dynamic batches write it."""
    pooled = b.node("GlobalAveragePool", [x])
    batch = b.node("Gather", [b.node("Shape", [pooled]), b.initializer(np.array(0, np.int64))], axis=0)
    shape = b.node("Concat", [b.node("Unsqueeze", [batch, _ints(b, 0)]), _ints(b, -1)], axis=0)
    return b.node("Reshape", [pooled, shape])


def _hard_swish_of_hard_sigmoid(b: QdqBuilder) -> str:
    x = _image(b)
    return b.qdq(b.node("Mul", [x, b.node("HardSigmoid", [x], alpha=1 / 6, beta=0.5)]), 0.04, -110)


def _hard_swish_of_quantized_parts(b: QdqBuilder) -> str:
    x = _image(b)
    total = b.qdq(b.node("Add", [x, b.constant(np.array(127, np.int8), 3 / 127)]), 0.06, -20)
    gate = b.qdq(b.node("Clip", [total, _number(b, 0), _number(b, 6)]), 6 / 255, -128)
    sixth = b.qdq(b.node("Div", [gate, _number(b, 6)]), 1 / 255, -128)
    return b.qdq(b.node("Mul", [sixth, x]), 0.04, -110)


def _hard_swish_divided_last(b: QdqBuilder) -> str:
    x = _image(b)
    gate = b.node("Clip", [b.node("Add", [x, _number(b, 3)]), _number(b, 0), _number(b, 6)])
    return b.qdq(b.node("Div", [b.node("Mul", [x, gate]), _number(b, 6)]), 0.04, -110)


def _batch_normalized(b: QdqBuilder, x: str) -> str:
    gain = b.rng.uniform(0.5, 2.0, 6) * np.where(np.arange(6) % 2, -1, 1)
    rest = [b.rng.normal(size=6), b.rng.normal(size=6), b.rng.uniform(0.5, 2.0, 6)]
    return b.node("BatchNormalization", [x, *(b.initializer(v.astype(np.float32)) for v in (gain, *rest))])


def _nhwc_model(b: QdqBuilder) -> str:
    """As tf2onnx writes it: NHWC at the edges, NCHW inside."""
    x = b.node("Transpose", [b.input((1, 4, 5, 3))], perm=[0, 3, 1, 2])
    y = b.qdq(_conv(b, x, 6, 3), 0.05, 1)
    return b.node("Transpose", [y], perm=[0, 2, 3, 1])


def _excited(b: QdqBuilder) -> str:
    x = _image(b)
    pooled = b.qdq(b.node("GlobalAveragePool", [x]), 0.03, 0)
    gate = b.qdq(b.node("Sigmoid", [b.qdq(_conv(b, pooled, 6, 6), 0.05, 1)]), 1 / 256, -128)
    return b.qdq(b.node("Mul", [x, gate]), 0.05, 1)


def _residual(b: QdqBuilder) -> str:
    x = _image(b)
    y = b.qdq(_conv(b, x, 6, 6), 0.05, 1)
    return b.qdq(b.node("Relu", [b.node("Add", [x, y])]), 0.04, -128)


def _raw_and_behind_relu(b: QdqBuilder) -> str:
    """As residual networks with the activation first have it: sums as they are, and in a finer type behind a Relu."""
    sums = _conv(b, b.input((1, 3, 4, 5)), 4, 3)
    behind = b.qdq(b.node("Relu", [sums]), 0.004, -128)
    return b.qdq(b.node("Add", [b.qdq(sums, 0.04, 0), behind]), 0.05, 5)


def _twice_quantized(b: QdqBuilder) -> str:
    """The first type holds the smallest sums only."""
    sums = _conv(b, b.input((1, 3, 4, 5)), 4, 3)
    return b.qdq(b.node("Add", [b.qdq(sums, 0.003, -128), b.qdq(sums, 0.04, 0)]), 0.05, 0)


def _nearly_one_type(b: QdqBuilder) -> str:
    sums = _conv(b, b.input((1, 3, 4, 5)), 4, 3)
    return b.qdq(b.node("Add", [b.qdq(sums, 0.03, 1), b.qdq(sums, 0.04, 0)]), 0.08, 0)


def _pooled_before_q(b: QdqBuilder) -> str:
    """As quantizers write it that stand before convolutions only."""
    sums = b.node("Relu", [_conv(b, b.input((1, 3, 8, 9)), 4, 3)])
    pooled = b.node("MaxPool", [sums], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    return b.qdq(_conv(b, b.qdq(pooled, 0.03, -128), 5, 4), 0.05, 0)


def _joined_before_q(b: QdqBuilder) -> str:
    x = b.input((1, 3, 4, 5))
    joined = b.node("Concat", [b.node("Relu", [_conv(b, x, 4, 3)]), _conv(b, x, 2, 3)], axis=1)
    return b.qdq(_conv(b, b.qdq(joined, 0.04, -20), 5, 6), 0.05, 0)


def _padded_float_input(b: QdqBuilder) -> str:
    """As onnxruntime's operator format has it: what stands before the first convolution stays float."""
    padded = b.node("Pad", [b.float_input((1, 3, 9, 7)), _ints(b, 0, 0, 0, 0, 0, 0, 1, 1)])
    return b.qdq(_conv(b, b.qdq(padded, 0.04, 5), 4, 3), 0.05, 0)


def _padded_before_q(b: QdqBuilder) -> str:
    padded = b.node("Pad", [_conv(b, b.input((1, 3, 9, 7)), 4, 3), _ints(b, 0, 0, 0, 0, 0, 0, 1, 1)])
    return b.qdq(_conv(b, b.qdq(padded, 0.04, 5), 4, 4), 0.05, 0)


def _focused_float_input(b: QdqBuilder) -> str:
    """Every other pixel of every other row, four times: space to depth as detectors write it."""
    x, most = b.float_input((1, 3, 8, 6)), 1 << 62
    starts = [(row, column) for column in (0, 1) for row in (0, 1)]
    parts = [b.node("Slice", [x, _ints(b, *s), _ints(b, most, most), _ints(b, 2, 3), _ints(b, 2, 2)]) for s in starts]
    return b.qdq(_conv(b, b.qdq(b.node("Concat", parts, axis=1), 0.04, 5), 4, 12), 0.1, 0)


def _input_quantized_twice(b: QdqBuilder) -> str:
    """With a pair of Q and DQ for each reader."""
    x = b.float_input((1, 3, 8, 6))
    sums = b.qdq(_conv(b, b.qdq(x, 0.04, 5), 3, 3), 0.05, 1)
    return b.qdq(b.node("Add", [sums, b.qdq(x, 0.04, 5)]), 0.1, 0)


def _factors(op_type: str, *factors: float) -> Build:
    """Real numbers a channel, so far apart that int8 of one scale would make zeros of the small ones."""

    def build(b: QdqBuilder) -> str:
        held = b.initializer(np.array(factors, np.float32).reshape(-1, 1, 1))
        return b.qdq(b.node(op_type, [b.input((1, 6, 4, 5)), held]), 0.05, 1)

    return build


QUANTIZED_INPUT = "inputs %0 : float32[1,3,4,5]\n%1 = Quantize(%0) : int8[1,3,4,5] s=0.05 z=3\n" + (
    "%2 = Transpose(%1) permutation=(0, 2, 3, 1) : int8[1,4,5,3] s=0.05 z=3\n"
)

# Pattern -> (model, how many LSB from onnxruntime at most, operators between the edges).
PATTERNS: dict[str, tuple[Build, float, str]] = {
    "relu before Q": (_conv_then(lambda b, x: b.node("Relu", [x])), 1, "Conv2D:relu"),
    "clip to 6 before Q": (_conv_then(_clip(0, 6)), 1, "Conv2D:relu6"),
    "clip to 1 before Q": (_conv_then(_clip(-1, 1), zero=0), 1, "Conv2D:relu_n1_to_1"),
    "clip absorbed by the range of Q": (_conv_then(_clip(0, 7.65), zero=-128), 1, "Conv2D"),
    "clip without an upper bound": (_conv_then(lambda b, x: b.node("Clip", [x, _number(b, 0)])), 1, "Conv2D:relu"),
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
    "x * (relu6(x + 3) / 6), all quantized": (_hard_swish_of_quantized_parts, 3, "Conv2D Table"),
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


@pytest.mark.parametrize("pattern", PATTERNS)
def test_pattern_becomes_these_operators_and_agrees(pattern: str) -> None:
    build, bound, operators = PATTERNS[pattern]
    builder = QdqBuilder(seed=len(pattern))
    agreement = compare(builder.build(build(builder)))
    assert _inner_operators(agreement.graph) == operators
    assert agreement.worst_lsb <= bound + 0.001


def _inner_operators(graph: Graph) -> str:
    """The operators but Quantize, Dequantize and Transpose at the edges."""
    ops = list(graph.ops)
    while ops and ops[0].kind in ("Quantize", "Transpose"):
        ops.pop(0)
    while ops and ops[-1].kind in ("Dequantize", "Transpose"):
        ops.pop()
    return " ".join(
        op.kind + (f":{a.value}" if (a := getattr(op, "activation", None)) and a.value != "none" else "") for op in ops
    )


def test_value_that_is_read_before_a_quantized_relu_is_not_taken_from_behind_it() -> None:
    """The sigmoid of what is below zero is lost where the relu's type is written; nothing else tells a type."""
    b = QdqBuilder()
    sums = _conv(b, b.input((1, 3, 4, 5)), 4, 3)
    outputs = b.qdq(b.node("Relu", [sums]), 0.03, -128), b.qdq(b.node("Sigmoid", [sums]), 1 / 256, -128)
    with pytest.raises(UnsupportedModelError, match=f"Conv '{sums}' cannot be compiled: its output .* not quantized"):
        build_graph(b.build(*outputs), "net")


def test_nchw_input_is_quantized_then_transposed_once() -> None:
    b = QdqBuilder()
    x = b.input((1, 3, 4, 5))
    left, right = b.qdq(_conv(b, x, 6, 3), 0.05, 1), b.qdq(_conv(b, x, 6, 3), 0.06, 2)
    text = print_graph(compare(b.build(b.qdq(b.node("Add", [left, right]), 0.1, 0))).graph)
    assert text.startswith(QUANTIZED_INPUT)
    assert text.count("Transpose") == 2  # the input's and the output's
    assert "%5 = Conv2D(%2, const int8[6,1,1,3] s[6]@0, const int32[6] s[6]@0)" in text


def test_one_channel_input_is_only_reshaped() -> None:
    b = QdqBuilder()
    y = b.qdq(b.node("Conv", [b.input((1, 1, 4, 5)), b.weights((2, 1, 3, 3))]), 0.05, 1)
    text = print_graph(compare(b.build(b.node("Flatten", [b.node("GlobalAveragePool", [y])]))).graph)
    assert "Transpose" not in text
    assert "Reshape(%1) : int8[1,4,5,1]" in text


def test_int4_initializer_stays_int4() -> None:
    b = QdqBuilder(opset=21)
    values = b.rng.integers(-7, 8, (6, 3)).astype(np.int8)
    b.initializers.append(helper.make_tensor("w4", TensorProto.INT4, (6, 3), values.reshape(-1)))
    weights = b.node("DequantizeLinear", ["w4", b.initializer(np.full(6, 0.1, np.float32))], axis=0)
    model = b.build(b.qdq(b.node("Gemm", [b.input((1, 3)), weights], transB=1), 0.05, 0))
    graph = build_graph(model, "net")
    dense = next(op for op in graph.ops if isinstance(op, FullyConnected))
    held = graph.tensors[dense.weights]
    assert (held.dtype, held.size_bytes) == (DType.INT4, 9)
    assert held.data is not None
    assert np.array_equal(held.data, values)


def _weights_behind(clip: tuple[int, int], dtype: type[np.int8] | type[np.uint8]) -> DType:
    """Return the type of the weights that are imported from 8-bit ones clipped to limits, and transposed."""
    b = QdqBuilder()
    zero = 8 if dtype is np.uint8 else 0
    stored = b.initializer((b.rng.integers(-7, 8, (3, 6)) + zero).astype(dtype))
    clipped = b.node("Clip", [stored, *(b.initializer(np.array(v, dtype)) for v in clip)])
    parts = [b.initializer(np.array(0.1, np.float32)), b.initializer(np.array(zero, dtype))]
    weights = b.node("DequantizeLinear", [b.node("Transpose", [clipped], perm=[1, 0]), *parts])
    graph = compare(b.build(b.qdq(b.node("Gemm", [b.input((1, 3)), weights], transB=1), 0.05, 0))).graph
    dense = next(op for op in graph.ops if isinstance(op, FullyConnected))
    return graph.tensors[dense.weights].dtype


def test_clip_to_4_bits_tells_int4_weights() -> None:
    """Brevitas writes int4 as int8 that is clipped, uint4 as uint8."""
    assert _weights_behind((-8, 7), np.int8) is DType.INT4
    assert _weights_behind((-7, 7), np.int8) is DType.INT4
    assert _weights_behind((0, 15), np.uint8) is DType.INT4


def test_wider_clip_leaves_int8_weights() -> None:
    assert _weights_behind((-9, 7), np.int8) is DType.INT8
    assert _weights_behind((0, 16), np.uint8) is DType.INT8


def test_int4_weights_that_change_their_sign_stay_exact() -> None:
    """-8 of a channel whose batch normalization has a negative gain is 8, which takes int8."""
    weights = Weights("w", np.array([[-8], [7]], np.int8), DType.INT4, (0.5, 0.25), 0)
    turned = weights.times_each(np.array([-1.0, 1.0]))
    assert (turned.dtype, turned.data.tolist()) == (DType.INT8, [[8], [7]])
    assert weights.times_each(np.array([1.0, -1.0])).dtype is DType.INT4


@pytest.mark.parametrize("activations", ["int8", "uint8"])
def test_integer_inputs_and_outputs_keep_the_declared_type(activations: str) -> None:
    b = QdqBuilder(activations=activations)
    x = b.dequantize(b.integer_input((1, 3, 4, 5)), 0.05, 3)
    y = b.quantize(_conv(b, x, 6, 3), 0.05, 1)
    element = helper.np_dtype_to_tensor_dtype(b.activations)
    agreement = compare(b.build(y, output_type=element))
    ends = [agreement.graph.tensors[t] for t in (*agreement.graph.inputs, *agreement.graph.outputs)]
    assert [t.dtype.value for t in ends] == [activations, activations]
    assert agreement.worst_lsb <= 1


def test_batch_dimension_may_be_symbolic() -> None:
    b = QdqBuilder()
    y = b.qdq(_conv(b, b.input(("batch", 3, 4, 5)), 6, 3), 0.05, 1)
    assert compare(b.build(y)).graph.tensors[0].shape == (1, 3, 4, 5)


def test_hard_swish_leaves_nothing_of_its_parts() -> None:
    b = QdqBuilder()
    graph = compare(b.build(_hard_swish_of_quantized_parts(b))).graph
    assert sum(isinstance(op, Table) for op in graph.ops) == 1
    assert len(graph.tensors) == len({t for op in graph.ops for t in (*op.inputs, *op.outputs)})


def _qlinear_net(uint8: bool) -> bytes:
    """QLinearConv, QLinearAdd, QLinearGlobalAveragePool, QLinearMatMul as onnxruntime's QOperator format has them."""
    b = QdqBuilder(activations="uint8" if uint8 else "int8")

    def pair(scale: float, zero: int) -> list[str]:
        return [b.initializer(np.array(scale, np.float32)), b.initializer(b._zero(zero))]

    x = b.quantize(b.float_input((1, 3, 6, 6)), 0.05, 3)
    weights = [b.initializer(b.rng.integers(-127, 128, (8, 3, 3, 3)).astype(np.int8))]
    weights += [b.initializer(b.rng.uniform(0.005, 0.01, 8).astype(np.float32)), b.initializer(np.zeros(8, np.int8))]
    bias = b.initializer(b.rng.integers(-500, 500, 8).astype(np.int32))
    first = b.node("QLinearConv", [x, *pair(0.05, 3), *weights, *pair(0.06, -8), bias], pads=[1, 1, 1, 1])
    operands = [first, *pair(0.06, -8), first, *pair(0.06, -8)]
    total = b.node("QLinearAdd", [*operands, *pair(0.12, -8)], domain="com.microsoft")
    pooled = b.node("QLinearGlobalAveragePool", [total, *pair(0.12, -8), *pair(0.05, 0)], domain="com.microsoft")
    flat = b.node("Reshape", [pooled, _ints(b, 1, 8)])
    dense = b.initializer(b.rng.integers(-127, 128, (8, 5)).astype(np.int8))
    scale = [b.initializer(np.array(0.01, np.float32)), b.initializer(np.array(0, np.int8))]
    result = b.node("QLinearMatMul", [flat, *pair(0.05, 0), dense, *scale, *pair(0.05, 0)])
    return b.build(b.dequantize(result, 0.05, 0))


@pytest.mark.parametrize("uint8", [False, True])
def test_qlinear_operators(uint8: bool) -> None:
    agreement = compare(_qlinear_net(uint8), samples=8)
    assert _inner_operators(agreement.graph) == "Conv2D Add Mean FullyConnected"
    assert agreement.worst_lsb <= 2.001


@pytest.mark.parametrize("opset", [11, 12, 13, 15, 17, 18, 20, 21])
def test_mobile_block_in_every_opset(opset: int) -> None:
    b = QdqBuilder(opset=opset)
    x = _image(b)
    y = b.qdq(b.node("Clip", [_conv(b, x, 12, 6), _number(b, 0), _number(b, 6)]), 6 / 255, -128)
    depthwise = b.node("Conv", [y, b.weights((12, 1, 3, 3)), b.bias(12, 2e-4)], group=12, pads=[1, 1, 1, 1])
    z = b.qdq(_conv(b, b.qdq(b.node("Relu", [depthwise]), 0.04, -128), 6, 12), 0.05, 0)
    axes: list[str] = [_ints(b, 2, 3)] if opset >= 18 else []
    mean = b.node(
        "ReduceMean", [b.qdq(b.node("Add", [x, z]), 0.08, 0), *axes], keepdims=0, **({} if axes else {"axes": [2, 3]})
    )
    logits = b.qdq(b.node("Gemm", [b.qdq(mean, 0.04, 0), b.weights((10, 6)), b.bias(10)], transB=1), 0.05, 4)
    agreement = compare(b.build(b.qdq(b.node("Softmax", [logits], axis=1), 1 / 256, -128)), samples=8)
    operators = "Conv2D Conv2D:relu6 DepthwiseConv2D:relu Conv2D Add Mean FullyConnected Softmax"
    assert _inner_operators(agreement.graph) == operators
    assert agreement.worst_lsb <= 3.001
