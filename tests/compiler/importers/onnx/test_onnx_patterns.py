"""What exporters and quantizers write around operators: each pattern named, its graph read, its numbers compared."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from services.compiler.errors import UnsupportedModelError
from services.compiler.importers.onnx.importer import build_graph
from services.compiler.importers.onnx.weights import Weights
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import FullyConnected, Mean, Table
from services.compiler.ir.tensor import DType
from services.compiler.ir.text import print_graph
from services.compiler.passes.optimize import optimize
from tests.compiler.importers.onnx.agreement import compare
from tests.compiler.importers.onnx.onnx_patterns import (
    PATTERNS,
    conv,
    hard_swish_of_quantized_parts,
    image,
    ints,
    number,
)
from tests.compiler.importers.onnx.qdq_builder import QdqBuilder

QUANTIZED_INPUT = "inputs %0 : float32[1,3,4,5]\n%1 = Quantize(%0) : int8[1,3,4,5] s=0.05 z=3\n" + (
    "%2 = Transpose(%1) permutation=(0, 2, 3, 1) : int8[1,4,5,3] s=0.05 z=3\n"
)


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
    sums = conv(b, b.input((1, 3, 4, 5)), 4, 3)
    outputs = b.qdq(b.node("Relu", [sums]), 0.03, -128), b.qdq(b.node("Sigmoid", [sums]), 1 / 256, -128)
    with pytest.raises(UnsupportedModelError, match=f"Conv '{sums}' cannot be compiled: its output .* not quantized"):
        build_graph(b.build(*outputs), "net")


def test_nchw_input_is_quantized_then_transposed_once() -> None:
    b = QdqBuilder()
    x = b.input((1, 3, 4, 5))
    left, right = b.qdq(conv(b, x, 6, 3), 0.05, 1), b.qdq(conv(b, x, 6, 3), 0.06, 2)
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


@pytest.mark.parametrize("form", ["AveragePool", "flatten(2).mean(-1)"])
def test_average_of_the_image_is_a_mean_over_it(form: str) -> None:
    """So that it is summed up from parts of the image, whichever way PyTorch was told."""
    b = QdqBuilder()
    y = b.qdq(conv(b, b.input((1, 3, 4, 5)), 6, 3), 0.05, 1)
    if form == "AveragePool":
        mean = b.node("AveragePool", [y], kernel_shape=[4, 5])
    else:
        flat = b.node("Reshape", [y, b.initializer(np.array([1, 6, 20], np.int64))])
        mean = b.node("ReduceMean", [b.qdq(flat, 0.05, 1)], axes=[-1], keepdims=0)
    graph = optimize(compare(b.build(b.qdq(mean, 0.03, 2))).graph)
    op = next(op for op in graph.ops if isinstance(op, Mean))
    assert (graph.tensors[op.input].shape, op.axes) == ((1, 4, 5, 6), (1, 2))


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
    y = b.quantize(conv(b, x, 6, 3), 0.05, 1)
    element = helper.np_dtype_to_tensor_dtype(b.activations)
    agreement = compare(b.build(y, output_type=element))
    ends = [agreement.graph.tensors[t] for t in (*agreement.graph.inputs, *agreement.graph.outputs)]
    assert [t.dtype.value for t in ends] == [activations, activations]
    assert agreement.worst_lsb <= 1


def test_batch_dimension_may_be_symbolic() -> None:
    b = QdqBuilder()
    y = b.qdq(conv(b, b.input(("batch", 3, 4, 5)), 6, 3), 0.05, 1)
    assert compare(b.build(y)).graph.tensors[0].shape == (1, 3, 4, 5)


def test_hard_swish_leaves_nothing_of_its_parts() -> None:
    b = QdqBuilder()
    graph = compare(b.build(hard_swish_of_quantized_parts(b))).graph
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
    flat = b.node("Reshape", [pooled, ints(b, 1, 8)])
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
    x = image(b)
    y = b.qdq(b.node("Clip", [conv(b, x, 12, 6), number(b, 0), number(b, 6)]), 6 / 255, -128)
    depthwise = b.node("Conv", [y, b.weights((12, 1, 3, 3)), b.bias(12, 2e-4)], group=12, pads=[1, 1, 1, 1])
    z = b.qdq(conv(b, b.qdq(b.node("Relu", [depthwise]), 0.04, -128), 6, 12), 0.05, 0)
    axes: list[str] = [ints(b, 2, 3)] if opset >= 18 else []
    mean = b.node(
        "ReduceMean", [b.qdq(b.node("Add", [x, z]), 0.08, 0), *axes], keepdims=0, **({} if axes else {"axes": [2, 3]})
    )
    logits = b.qdq(b.node("Gemm", [b.qdq(mean, 0.04, 0), b.weights((10, 6)), b.bias(10)], transB=1), 0.05, 4)
    agreement = compare(b.build(b.qdq(b.node("Softmax", [logits], axis=1), 1 / 256, -128)), samples=8)
    operators = "Conv2D Conv2D:relu6 DepthwiseConv2D:relu Conv2D Add Mean FullyConnected Softmax"
    assert _inner_operators(agreement.graph) == operators
    assert agreement.worst_lsb <= 3.001
