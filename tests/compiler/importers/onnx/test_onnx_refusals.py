"""What cannot be read or compiled: one error that names the thing, the reason and what would work."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from services.common.errors import FarmError
from services.compiler.errors import InvalidModelError, UnsupportedModelError
from services.compiler.importers.onnx import import_onnx
from tests.compiler.importers.onnx.qdq_builder import QdqBuilder

EXAMPLES = 150 * int(os.environ.get("TINYFARM_FUZZ_EXAMPLES", "1"))


def _net(b: QdqBuilder) -> str:
    y = b.qdq(b.node("Conv", [b.input((1, 3, 8, 8)), b.weights((4, 3, 3, 3)), b.bias(4)]), 0.05, 1)
    pooled = b.qdq(b.node("GlobalAveragePool", [b.node("Relu", [y])]), 0.03, -128)
    flat = b.node("Reshape", [pooled, b.initializer(np.array([0, -1], np.int64))])
    return b.qdq(b.node("Gemm", [flat, b.weights((5, 4)), b.bias(5)], transB=1), 0.1, 0)


def _good() -> onnx.ModelProto:
    b = QdqBuilder()
    return b.model(_net(b))


def _with(change: Callable[[onnx.ModelProto], object]) -> Callable[[], bytes]:
    def build() -> bytes:
        proto = _good()
        change(proto)
        return proto.SerializeToString()

    return build


def _ending(build: Callable[[QdqBuilder], str]) -> Callable[[], bytes]:
    def make() -> bytes:
        b = QdqBuilder()
        return b.build(build(b))

    return make


def _initializer(proto: onnx.ModelProto, op_type: str, index: int) -> TensorProto:
    node = next(n for n in proto.graph.node if n.op_type == op_type)
    return next(t for t in proto.graph.initializer if t.name == node.input[index])


def _set_scale(value: float) -> Callable[[onnx.ModelProto], None]:
    return lambda proto: _initializer(proto, "QuantizeLinear", 1).CopyFrom(
        onnx.numpy_helper.from_array(np.array(value, np.float32), _initializer(proto, "QuantizeLinear", 1).name)
    )


def _external(proto: onnx.ModelProto) -> None:
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"


def _input_dims(*dims: int | str) -> Callable[[onnx.ModelProto], None]:
    def change(proto: onnx.ModelProto) -> None:
        proto.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, dims))

    return change


def _rename_op(old: str, new: str) -> Callable[[onnx.ModelProto], None]:
    return lambda proto: setattr(next(n for n in proto.graph.node if n.op_type == old), "op_type", new)


def _truncate_raw(proto: onnx.ModelProto) -> None:
    tensor = _initializer(proto, "Reshape", 1)
    tensor.raw_data = tensor.raw_data[:5]


def _asymmetric_weights(b: QdqBuilder) -> str:
    data = b.rng.integers(-127, 128, (4, 3, 1, 1)).astype(np.int8)
    data.flat[0] = -127
    return b.qdq(b.node("Conv", [b.input((1, 3, 4, 4)), b.constant(data, 0.01, zero=9)]))


def _float_weights(b: QdqBuilder) -> str:
    weights = b.initializer(b.rng.normal(size=(4, 3, 1, 1)).astype(np.float32))
    return b.qdq(b.node("Conv", [b.input((1, 3, 4, 4)), weights]))


def _resized(mode: str, scale: float = 2.0) -> Callable[[QdqBuilder], str]:
    def build(b: QdqBuilder) -> str:
        scales = b.initializer(np.array([1, 1, scale, scale], np.float32))
        return b.qdq(b.node("Resize", [b.input((1, 3, 4, 4)), "", scales], mode=mode))

    return build


def _huge_constant(b: QdqBuilder) -> str:
    shape = b.initializer(np.array([1 << 20, 1 << 20], np.int64))
    return b.qdq(b.node("Add", [b.input((1, 3)), b.node("ConstantOfShape", [shape])]))


# Case -> (the file, class of the error, what its message says).
REFUSALS: dict[str, tuple[Callable[[], bytes], type[FarmError], str]] = {
    "empty file": (lambda: b"", InvalidModelError, "the ONNX file is a protobuf without a graph"),
    "not a protobuf": (lambda: b"\xff" * 64, InvalidModelError, "the model file is 64 bytes of neither format"),
    "truncated": (lambda: _good().SerializeToString()[:-40], InvalidModelError, "the model file"),
    "no nodes": (_with(lambda p: p.graph.ClearField("node")), InvalidModelError, "number of nodes"),
    "external data": (_with(_external), InvalidModelError, "in another file: save the model as one file"),
    "unknown opset": (
        _with(lambda p: setattr(p.opset_import[0], "version", 99)),
        InvalidModelError,
        "the opset is 99: must be 7 to 26",
    ),
    "unknown domain": (
        _with(lambda p: setattr(p.graph.node[0], "domain", "my.ops")),
        InvalidModelError,
        "the domain of QuantizeLinear 'quantizelinear_0' is 'my.ops'",
    ),
    "dynamic height": (_with(_input_dims(1, 3, "h", 8)), InvalidModelError, "only the batch (first) dimension"),
    "batch of 4": (_with(_input_dims(4, 3, 8, 8)), InvalidModelError, "the batch of input 'x' is 4: must be 1"),
    "huge input": (_with(_input_dims(1, 3, 1 << 20, 1 << 20)), InvalidModelError, "must be at most 268435456 elements"),
    "NaN scale": (_with(_set_scale(float("nan"))), InvalidModelError, "is nan: must be above 0"),
    "negative scale": (_with(_set_scale(-0.5)), InvalidModelError, "is -0.5: must be above 0"),
    "short initializer": (_with(_truncate_raw), InvalidModelError, "not readable"),
    "wrong channels": (_with(_input_dims(1, 4, 8, 8)), InvalidModelError, "must fit the 4 channels of the input"),
    "window larger than the image": (_with(_input_dims(1, 3, 2, 2)), InvalidModelError, "the window must fit input"),
    "missing producer": (
        _with(lambda p: p.graph.node[1].input.__setitem__(0, "nowhere")),
        InvalidModelError,
        "'nowhere' of DequantizeLinear",
    ),
    "doubled output": (
        _with(lambda p: p.graph.node[1].output.__setitem__(0, p.graph.node[0].output[0])),
        InvalidModelError,
        "written more than once",
    ),
    "unknown operator": (
        _with(_rename_op("GlobalAveragePool", "LpNormalization")),
        UnsupportedModelError,
        "LpNormalization 'globalaveragepool_8' cannot be compiled: the operator is not supported; use one of Abs, Add,",
    ),
    "float model": (
        _ending(lambda b: b.node("Relu", [b.float_input((1, 3))])),
        UnsupportedModelError,
        "Relu 'relu_0' cannot be compiled: its input 'x' is float; quantize the model first",
    ),
    "output that nothing quantizes": (
        _ending(lambda b: b.node("Conv", [b.input((1, 3, 4, 4)), b.weights((4, 3, 1, 1))])),
        UnsupportedModelError,
        "its output 'conv_3' is not quantized",
    ),
    "weights with a zero point": (
        _ending(_asymmetric_weights),
        UnsupportedModelError,
        "zero point 9 and do not fit int8 without it; quantize weights symmetrically",
    ),
    "float weights": (_ending(_float_weights), UnsupportedModelError, "are float; quantize the model first"),
    "grouped transposed convolution": (
        _ending(lambda b: b.qdq(b.node("ConvTranspose", [b.input((1, 4, 4, 4)), b.weights((4, 1, 2, 2), 1)], group=4))),
        UnsupportedModelError,
        "ConvTranspose 'convtranspose_3' cannot be compiled: it has 4 groups or no image; use one group and an image",
    ),
    "product of two activations, as in attention": (
        _ending(lambda b: b.node("MatMul", [x := b.input((1, 4, 4)), x])),
        UnsupportedModelError,
        "both its inputs are computed, 'dequantizelinear_1' too, as in attention; use constant weights",
    ),
    "cubic resize": (_ending(_resized("cubic")), UnsupportedModelError, "its mode is cubic; use nearest or linear"),
    "fractional bilinear resize": (_ending(_resized("linear", 1.3)), UnsupportedModelError, "use sizes, without"),
    "wrapping pad": (
        _ending(
            lambda b: b.qdq(b.node("Pad", [b.input((1, 3, 4, 4)), b.initializer(np.ones(8, np.int64))], mode="wrap"))
        ),
        UnsupportedModelError,
        "its mode is wrap by (1, 1) of 1; pad with a constant",
    ),
    "reflecting pad beyond the image": (
        _ending(
            lambda b: b.qdq(b.node("Pad", [b.input((1, 3, 4, 4)), b.initializer(np.ones(8, np.int64))], mode="reflect"))
        ),
        UnsupportedModelError,
        "its mode is reflect by (1, 1) of 1; pad with a constant",
    ),
    "maximum of three": (
        _ending(lambda b: b.qdq(b.node("Max", [b.input((1, 3), name=n) for n in "abc"]))),
        UnsupportedModelError,
        "it has 3 computed inputs of 3; use two, or one and a number",
    ),
    "power of two tensors": (
        _ending(lambda b: b.qdq(b.node("Pow", [b.input((1, 3), name=n) for n in "ab"]))),
        UnsupportedModelError,
        "neither base nor exponent is one number",
    ),
    "division by nothing": (
        _ending(lambda b: b.qdq(b.node("Div", [b.input((1, 3)), b.initializer(np.array(0, np.float32))]))),
        InvalidModelError,
        "the number of Div 'div_2' is 0.0: must be finite, a divisor not 0",
    ),
    "index of the largest": (
        _ending(lambda b: b.node("ArgMax", [b.input((1, 3))])),
        UnsupportedModelError,
        "ArgMax 'argmax_2' cannot be compiled: its output is an index; leave it out: the scores become the output",
    ),
    "dynamic quantization": (
        _ending(lambda b: b.node("DynamicQuantizeLinear", [b.float_input((1, 3))], outputs=3)),
        UnsupportedModelError,
        "DynamicQuantizeLinear 'dynamicquantizelinear_0' cannot be compiled: it quantizes at run time; use static",
    ),
    "constant larger than memory": (_ending(_huge_constant), InvalidModelError, "must be at most 67108864"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusal_names_the_thing_and_what_would_work(case: str) -> None:
    build, kind, message = REFUSALS[case]
    with pytest.raises(kind) as caught:
        import_onnx(build(), "net")
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_good_model_of_the_cases_is_accepted() -> None:
    kinds = [op.kind for op in import_onnx(_good().SerializeToString(), "net").ops]
    assert kinds == ["Quantize", "Transpose", "Conv2D", "Relu", "Mean", "FullyConnected", "Dequantize"]


GOOD = _good().SerializeToString()


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="TINYFARM_FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
@given(
    edits=st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=6),
    stop=st.one_of(st.none(), st.integers(0, len(GOOD))),
)
def test_corrupted_file_is_an_error_of_ours_or_a_model(edits: list[tuple[int, int]], stop: int | None) -> None:
    data = bytearray(GOOD)
    for position, value in edits:
        data[position] = value
    try:
        import_onnx(bytes(data[:stop]), "net")
    except FarmError as error:
        assert str(error)


def _everything(b: QdqBuilder) -> str:
    """A model with attributes and integer constants of many operators."""
    ints = lambda *v: b.initializer(np.array(v, np.int64))  # noqa: E731
    x = b.input((1, 4, 8, 8))
    y = b.qdq(
        b.node("Conv", [x, b.weights((4, 1, 3, 3))], group=4, pads=[1, 1, 1, 1], strides=[1, 1], dilations=[1, 1])
    )
    y = b.qdq(b.node("MaxPool", [y], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=0))
    y = b.node("Pad", [y, ints(0, 0, 1, 1, 0, 0, 1, 1)])
    y = b.node("Slice", [y, ints(0, 1), ints(4, 6), ints(1, 3), ints(1, 2)])
    y = b.node(
        "Resize", [y, "", "", ints(1, 4, 12, 6)], coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )
    y = b.node("Concat", [y, b.node("Transpose", [y], perm=[0, 1, 2, 3])], axis=1)
    first = b.node("Split", [y, ints(3, 5)], outputs=2, axis=1)
    y = b.qdq(b.node("Add", [first, b.node("Gather", [f"{first}_1", ints(0)], axis=1)]))
    y = b.qdq(b.node("LeakyRelu", [y], alpha=0.1))
    y = b.node("Reshape", [b.node("ReduceMean", [y], axes=[2, 3], keepdims=1), ints(1, -1)])
    y = b.node("Flatten", [b.node("Unsqueeze", [y, ints(2)])], axis=1)
    dense = b.qdq(b.node("Gemm", [y, b.weights((5, 3))], transB=1, alpha=1.0, beta=1.0))
    return b.qdq(b.node("Softmax", [dense], axis=-1), 1 / 256, -128)


_BUILDER = QdqBuilder()
EVERYTHING = _BUILDER.build(_everything(_BUILDER))
NUMBERS = st.one_of(st.integers(-4, 20), st.sampled_from([-(2**63), 2**63 - 1, 2**31, 1 << 20, 255]))


def _mutate(proto: onnx.ModelProto, kind: str, where: int, which: int, number: int) -> None:
    nodes, tensors = proto.graph.node, proto.graph.initializer
    node = nodes[where % len(nodes)]
    match kind:
        case "attribute" if node.attribute:
            attribute = node.attribute[which % len(node.attribute)]
            if attribute.ints:
                attribute.ints[number % len(attribute.ints)] = number
            elif attribute.type == onnx.AttributeProto.FLOAT:
                attribute.f = float(number)
            else:
                attribute.i = number
        case "rewire" if node.input:
            names = [n for other in nodes for n in (*other.output, *other.input)]
            node.input[which % len(node.input)] = names[number % len(names)]
        case "drop input" if node.input:
            del node.input[which % len(node.input)]
        case "operator":
            node.op_type = nodes[which % len(nodes)].op_type
        case "integers":
            tensor = tensors[where % len(tensors)]
            array = onnx.numpy_helper.to_array(tensor).copy()
            if array.size and array.dtype == np.int64:
                array.flat[which % array.size] = number
                tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
        case "shape":
            tensor = tensors[where % len(tensors)]
            tensor.dims.append(1)
        case _:
            proto.graph.input[0].type.tensor_type.shape.dim[1 + which % 3].dim_value = 1 + abs(number) % 40


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="TINYFARM_FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["attribute", "attribute", "rewire", "drop input", "operator", "integers", "shape", "input"]
            ),
            st.integers(0, 200),
            st.integers(0, 20),
            NUMBERS,
        ),
        min_size=1,
        max_size=3,
    )
)
def test_inconsistent_model_is_an_error_of_ours_or_a_model(edits: list[tuple[str, int, int, int]]) -> None:
    proto = onnx.load_model_from_string(EVERYTHING)
    for edit in edits:
        _mutate(proto, *edit)
    try:
        import_onnx(proto.SerializeToString(), "net")
    except FarmError as error:
        assert str(error)


def test_model_of_the_mutations_is_accepted() -> None:
    assert len(import_onnx(EVERYTHING, "net").ops) > 15
