"""A broken .tflite file gives one clear error or a graph that runs; it never hangs, crashes or eats memory."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.errors import FarmError
from services.compiler.errors import InvalidModelError, UnsupportedModelError
from services.compiler.importers.tflite import import_tflite
from services.compiler.ir.graph import Graph
from services.compiler.options import Interface
from services.compiler.passes.optimize import optimize
from services.compiler.quant.reference import run_graph
from tests.compiler import tflite_models as m
from tests.compiler.oracle import random_inputs
from tests.compiler.tflite_builder import SAME, ModelBuilder, TensorSpec

EXAMPLES = 150 * int(os.environ.get("TINYFARM_FUZZ_EXAMPLES", "1"))
fuzz = settings(max_examples=EXAMPLES, deadline=None, derandomize="TINYFARM_FUZZ_EXAMPLES" not in os.environ)

SEEDS = {
    "conv": m.conv2d((1, 5, 5, 2), 3, (3, 3), padding=SAME),
    "dense": m.fully_connected((1, 6), 4),
    "add": m.binary("ADD", (1, 4), (1, 4)),
    "pool": m.pool2d("MAX_POOL_2D", (1, 5, 5, 2), (2, 2)),
    "slice": m.with_constants(
        "STRIDED_SLICE", "StridedSliceOptions", (1, 8, 9), [(1, 3, 4)], [[0, 1, 2], [1, 7, 9], [1, 2, 2]]
    ),
    "concatenation": m.concatenation([(1, 3), (1, 4)], -1),
    "softmax": m.unary("SOFTMAX", "SoftmaxOptions", (1, 5), result=m.Quant(1 / 256, -128), Beta=1.0),
    "quantize": m.unary("QUANTIZE", "QuantizeOptions", (1, 9), dtypes=("float32", "int8")),
}
WORDS = [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\1\0\0\0"]

edits = st.lists(
    st.tuples(st.integers(0, 1 << 16), st.one_of(st.binary(min_size=1, max_size=4), st.sampled_from(WORDS))), min_size=1
)


def import_or_refuse(data: bytes) -> Graph | None:
    """Return the graph, or None after checking that the refusal is readable."""
    try:
        return import_tflite(data, "broken")
    except FarmError as error:
        assert isinstance(error, InvalidModelError | UnsupportedModelError)
        assert 0 < len(str(error)) < 1500
        return None


def check(data: bytes) -> None:
    graph = import_or_refuse(data)
    if graph is None or sum(t.elements for t in graph.tensors.values()) > 200_000:
        return
    inputs = random_inputs(graph, 0)
    optimized = optimize(graph, Interface.FLOAT)
    for plain, rewritten in zip(run_graph(graph, inputs), run_graph(optimized, inputs), strict=True):
        np.testing.assert_array_equal(plain, rewritten)


@fuzz
@given(st.sampled_from(sorted(SEEDS)), edits)
def test_corrupt_bytes(seed: str, changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(SEEDS[seed])
    for position, value in changes:
        start = position % len(data)
        data[start : start + len(value)] = value[: len(data) - start]
    check(bytes(data))


@fuzz
@given(st.sampled_from(sorted(SEEDS)), st.floats(0, 1))
def test_truncated_file(seed: str, fraction: float) -> None:
    data = SEEDS[seed]
    check(data[: int(len(data) * fraction)])


@fuzz
@given(st.binary(max_size=400))
def test_arbitrary_bytes(data: bytes) -> None:
    check(data)
    check(data[:4] + b"TFL3" + data[8:])


def scaled_dense(scale: float, zero_point: int = 0) -> bytes:
    """Return a dense layer whose input has the given quantization."""
    model = ModelBuilder()
    x = model.tensor(TensorSpec((1, 4), "int8", (scale,), (zero_point,), name="x"))
    weights = model.constant(np.ones((2, 4), np.int8), [0.1])
    y = model.activation((1, 2), 0.1, 0, name="y")
    model.operator("FULLY_CONNECTED", [x, weights], [y], "FullyConnectedOptions")
    return model.build([x], [y])


def one_tensor_wrong(kind: str) -> bytes:
    """Return a dense layer with one property broken."""
    model = ModelBuilder()
    x = model.activation((1, 4), 0.1, name="x", dtype="float16" if kind == "float16 input" else "int8")
    weights = TensorSpec((2, 4), "int8", (0.1,), (3 if kind == "weights zero point" else 0,), name="w")
    data = np.ones((2, 3 if kind == "data too short" else 4), np.int8)
    w = model.tensor(TensorSpec(**{**_fields(weights), "data": None if kind == "missing buffer" else data}))
    shape = {"wrong shape": (1, 3), "zero dimension": (1, 0), "giant": (1 << 20, 1 << 20)}.get(kind, (1, 2))
    y = model.activation(shape, 0.0 if kind == "no quantization" else 0.1, 0, name="y")
    inputs = {"index beyond": [x, 99], "missing weights": [x], "absent weights": [x, -1]}.get(kind, [x, w])
    if kind == "cycle":
        inputs = [y, w]
    operator = "CUSTOM" if kind == "custom" else "LSTM" if kind == "unknown" else "FULLY_CONNECTED"
    model.operator(operator, inputs, [y], "AddOptions" if kind == "wrong options" else "FullyConnectedOptions")
    return model.build([] if kind == "no inputs" else [x], [y])


def _fields(spec: TensorSpec) -> dict[str, object]:
    return {name: getattr(spec, name) for name in ("shape", "dtype", "scale", "zero_point", "axis", "name")}


REFUSED = {
    "empty": (b"", InvalidModelError, "not a TFLite file"),
    "text": (b"hello world, this is text", InvalidModelError, "must be b'TFL3'"),
    "NaN scale": (
        scaled_dense(float("nan")),
        InvalidModelError,
        "tensor 'x': scale is nan: must be finite and above 0",
    ),
    "zero scale": (scaled_dense(0.0), InvalidModelError, "tensor 'x': scale is 0.0"),
    "negative scale": (scaled_dense(-1.0), InvalidModelError, "tensor 'x': scale is -1.0"),
    "infinite scale": (scaled_dense(float("inf")), InvalidModelError, "tensor 'x': scale is inf"),
    "tiny scale": (scaled_dense(1e-30), UnsupportedModelError, "must be from 2\\*\\*-28 to 2\\*\\*28"),
    "zero point beyond int8": (
        scaled_dense(0.1, 200),
        UnsupportedModelError,
        "zero point 200: must be from -128 to 127",
    ),
    "float16 input": (None, UnsupportedModelError, "tensor 'x' is of type FLOAT16: must be one of"),
    "weights zero point": (None, UnsupportedModelError, "weights 'w' have a zero point other than 0"),
    "data too short": (None, InvalidModelError, "tensor 'w' of shape \\(2, 4\\) has 6 bytes of data: must have 8"),
    "missing buffer": (None, InvalidModelError, "FullyConnected 'y' reads tensors \\[1\\] before they are written"),
    "wrong shape": (None, UnsupportedModelError, "weights \\(2, 4\\) do not map 4 inputs to 3 outputs"),
    "zero dimension": (None, InvalidModelError, "tensor 'y' has shape \\(1, 0\\): every dimension must be at least 1"),
    "giant": (None, UnsupportedModelError, "takes more than 64 MiB"),
    "no quantization": (None, UnsupportedModelError, "tensor 'y' has no scale and zero point"),
    "index beyond": (None, InvalidModelError, "operator 0 \\(FULLY_CONNECTED\\) names tensor 99"),
    "missing weights": (None, InvalidModelError, "operator 0 \\(FULLY_CONNECTED\\) has no input 1"),
    "absent weights": (None, InvalidModelError, "operator 0 \\(FULLY_CONNECTED\\) has no input 1"),
    "cycle": (None, InvalidModelError, "reads tensors \\[2\\] before they are written"),
    "custom": (None, UnsupportedModelError, "custom operator"),
    "unknown": (None, UnsupportedModelError, "operator 0 \\(LSTM\\) cannot be compiled: supported are ABS, ADD"),
    "wrong options": (None, InvalidModelError, "has options of type 11: must be FullyConnectedOptions"),
    "no inputs": (None, InvalidModelError, "model has 0 inputs and 1 outputs"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_names_what_is_wrong(name: str) -> None:
    data, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        import_tflite(one_tensor_wrong(name) if data is None else data, "model")
