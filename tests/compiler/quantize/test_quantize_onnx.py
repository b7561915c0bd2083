"""Float ONNX to int8: refused inputs, the form of the result, determinism and what it costs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from services.common.errors import FarmError, InvalidArgumentError
from services.compiler.errors import InvalidModelError, UnsupportedModelError
from services.compiler.importers.onnx import import_onnx
from services.compiler.importers.onnx.model import Port
from services.compiler.ir.node import WeightedNode
from services.compiler.ir.tensor import DType
from services.compiler.quantize import (
    CalibrationMethod,
    Fidelity,
    QuantizeOptions,
    WeightType,
    fidelity,
    quantize_onnx,
)
from services.compiler.quantize.calibration import samples_of
from services.compiler.quantize.int4_scales import int4_scales, quantized
from tests.compiler.quantize.float_models import FloatBuilder, small_cnn

SAMPLES = np.random.default_rng(0).normal(size=(16, 3, 12, 12)).astype(np.float32)


def _with_nan() -> np.ndarray:  # type: ignore[type-arg]
    samples = SAMPLES.copy()
    samples[3, 1, 2, 2] = np.nan
    return samples


def _grouped_transposed() -> bytes:
    b = FloatBuilder(0, ("n", 3, 12, 12))
    weights, bias = b.constant(np.ones((3, 2, 2, 2), np.float32)), b.constant(np.ones(6, np.float32))
    return b.build(b.node("ConvTranspose", ["x", weights, bias], group=3))


REFUSALS: dict[str, tuple[Callable[[], object], type[FarmError], str]] = {
    "wrong shape": (
        lambda: quantize_onnx(small_cnn(), SAMPLES[:, :2]),
        InvalidArgumentError,
        "calibration of input 'x' is [16, 2, 12, 12]: must be [samples, 3, 12, 12]",
    ),
    "no samples": (
        lambda: quantize_onnx(small_cnn(), SAMPLES[:0]),
        InvalidArgumentError,
        "is empty: must hold at least 1",
    ),
    "NaN": (lambda: quantize_onnx(small_cnn(), _with_nan()), InvalidArgumentError, "must be finite"),
    "text": (
        lambda: quantize_onnx(small_cnn(), np.full((2, 3, 12, 12), "a")),
        InvalidArgumentError,
        "must be numbers",
    ),
    "input of another name": (
        lambda: quantize_onnx(small_cnn(), {"image": SAMPLES}),
        InvalidArgumentError,
        "the calibration data is without input 'x': must hold ['x']",
    ),
    "input too many": (
        lambda: quantize_onnx(small_cnn(), {"x": SAMPLES, "z": SAMPLES}),
        InvalidArgumentError,
        "for 'z': the model's inputs are ['x']",
    ),
    "not ONNX": (lambda: quantize_onnx(b"\xff\xff\xff", SAMPLES), InvalidModelError, "3 bytes of neither format"),
    "quantized already": (
        lambda: quantize_onnx(quantize_onnx(small_cnn(), SAMPLES), SAMPLES),
        InvalidModelError,
        "already quantized",
    ),
    "cannot run": (
        lambda: quantize_onnx(FloatBuilder(0, (1, 3, 12, 12)).build("x"), SAMPLES),
        InvalidModelError,
        "the number of nodes",
    ),
    "grouped transposed convolution": (
        lambda: quantize_onnx(_grouped_transposed(), SAMPLES),
        UnsupportedModelError,
        "cannot be compiled: it has 3 groups; use one group",
    ),
    "percentile": (lambda: QuantizeOptions(percentile=20), InvalidArgumentError, "percentile is 20: must be above 50"),
    "max_samples": (
        lambda: QuantizeOptions(max_samples=0),
        InvalidArgumentError,
        "max_samples is 0: must be at least 1",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusal_names_the_input_and_what_is_allowed(case: str) -> None:
    call, kind, message = REFUSALS[case]
    with pytest.raises(kind) as caught:
        call()
    assert message in str(caught.value)


ONE, TWO = (Port("img", "float32", (1, 4)),), (Port("x", "float32", (1, 4)), Port("input", "float32", (1, 2)))
X, V = np.zeros((3, 4), np.float32), np.ones((3, 2), np.float32)
SAMPLES_OF = {
    "two inputs, one of them x and one input": (TWO, {"x": X, "input": V}, {"x": X, "input": V}),
    "labels beside the inputs": (TWO, {"x": X, "y": V, "input": V}, {"x": X, "input": V}),
    "two inputs, one missing": (TWO, {"x": X}, {"x": X}),
    "the input's own name before x": (ONE, {"x": V, "img": X}, {"img": X}),
    "input before x": (ONE, {"x": V, "input": X}, X),
    "x": (ONE, {"x": X, "v": V}, X),
    "the only array beside labels": (ONE, {"images": X, "y": V}, X),
    "several of other names": (ONE, {"a": X, "b": V}, {"a": X, "b": V}),
}


@pytest.mark.parametrize("case", SAMPLES_OF)
def test_calibration_arrays_go_to_the_inputs_of_their_names(case: str) -> None:
    inputs, arrays, wanted = SAMPLES_OF[case]
    found = samples_of(inputs, arrays)
    if isinstance(wanted, np.ndarray):
        assert found is wanted
    else:
        assert not isinstance(found, np.ndarray) and dict(found).keys() == wanted.keys()
        assert all(found[name] is array for name, array in wanted.items())


def test_weights_are_symmetric_a_channel_and_activations_int8() -> None:
    proto = onnx.load_model_from_string(quantize_onnx(small_cnn(), SAMPLES))
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    weights = [n for n in proto.graph.node if n.op_type == "DequantizeLinear" and n.input[0] in arrays]
    zeros = [arrays[n.input[2]] for n in weights if arrays[n.input[0]].ndim > 1]
    assert [z.shape for z in zeros] == [(8,), (8,), (8,), (5,)]
    assert not any(z.any() for z in zeros)
    quantized = [n for n in proto.graph.node if n.op_type == "QuantizeLinear"]
    assert {arrays[n.input[2]].dtype for n in quantized} == {np.dtype(np.int8)}


def test_same_input_gives_the_same_bytes() -> None:
    assert quantize_onnx(small_cnn(), SAMPLES) == quantize_onnx(small_cnn(), {"x": SAMPLES})


def _weight_types(model: bytes) -> list[DType]:
    graph = import_onnx(model, "net")
    return [graph.tensors[op.weights].dtype for op in graph.ops if isinstance(op, WeightedNode)]


def _convolutions(opset: int) -> bytes:
    b = FloatBuilder(0, ("n", 3, 12, 12), opset)
    x = b.node("Relu", [b.conv("x", 3, 8, 3, stride=2)])
    x = b.conv(b.conv(x, 8, 8, 3, group=8), 8, 8, 1)
    return b.build(b.dense(b.node("Flatten", [b.node("GlobalAveragePool", [x])]), 8, 5))


@pytest.mark.parametrize("opset", [11, 17, 21])
def test_int4_weights_stay_int4_down_to_the_graph(opset: int) -> None:
    model = quantize_onnx(_convolutions(opset), SAMPLES, QuantizeOptions(weights=WeightType.INT4))
    assert _weight_types(model) == [DType.INT4] * 4


def test_mixed_weights_leave_the_first_and_the_last_layer_int8() -> None:
    model = quantize_onnx(small_cnn(), SAMPLES, QuantizeOptions(weights=WeightType.MIXED))
    assert _weight_types(model) == [DType.INT8, DType.INT4, DType.INT4, DType.INT8]


def test_int4_scales_lose_less_than_the_full_range() -> None:
    filters = np.random.default_rng(1).standard_t(3, (6, 200))
    filters[2] = 0
    full = np.maximum(np.abs(filters).max(axis=1), 1e-9) / 7
    found = int4_scales(filters)

    def lost(scales: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return np.asarray(((quantized(filters, scales) * scales[:, None] - filters) ** 2).sum(axis=1))

    assert (lost(found) <= lost(full)).all()
    assert lost(found).sum() < 0.75 * lost(full).sum()
    assert found[2] == 1.0


def test_fidelity_tells_how_much_weights_of_4_bits_lose() -> None:
    model = small_cnn()
    made = {w: quantize_onnx(model, SAMPLES, QuantizeOptions(weights=w)) for w in WeightType}
    noise = [
        fidelity(model, made[w], SAMPLES).sqnr_db or 0 for w in (WeightType.INT8, WeightType.MIXED, WeightType.INT4)
    ]
    assert noise == sorted(noise, reverse=True)
    assert noise[2] > 10


def test_no_temporary_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    quantize_onnx(small_cnn(), SAMPLES)
    with pytest.raises(InvalidArgumentError):
        quantize_onnx(small_cnn(), SAMPLES[:0])
    assert list(tmp_path.iterdir()) == []


def test_percentile_ignores_outliers() -> None:
    samples = SAMPLES.copy()
    samples[0, 0, 0, 0] = 1000.0

    def input_scale(method: CalibrationMethod) -> float:
        options = QuantizeOptions(method=method, percentile=99.0)
        graph = import_onnx(quantize_onnx(small_cnn(), samples, options), "net")
        quant = graph.tensors[graph.ops[0].output].quant
        assert quant is not None
        return quant.scale[0]

    assert input_scale(CalibrationMethod.MINMAX) > 3.5
    assert input_scale(CalibrationMethod.PERCENTILE) < 0.1


def test_only_the_first_samples_are_used() -> None:
    samples = SAMPLES.copy()
    samples[8:] *= 100
    few = QuantizeOptions(max_samples=8)
    assert quantize_onnx(small_cnn(), samples, few) == quantize_onnx(small_cnn(), SAMPLES[:8])


def test_softmax_is_written_in_256ths_as_tflite_fixes_it() -> None:
    graph = import_onnx(quantize_onnx(small_cnn(), SAMPLES), "net")
    assert [op.kind for op in graph.ops][-2:] == ["Softmax", "Dequantize"]


def test_old_opset_is_brought_to_one_with_channel_scales() -> None:
    b = FloatBuilder(0, ("n", 3, 12, 12), opset=11)
    pooled = b.node("GlobalAveragePool", [b.conv("x", 3, 8, 3)])
    quantized = quantize_onnx(b.build(b.dense(b.node("Flatten", [pooled]), 8, 5)), SAMPLES)
    assert [op.kind for op in import_onnx(quantized, "net").ops][2:5] == ["Conv2D", "Mean", "FullyConnected"]


def test_fidelity_of_a_quantized_model_and_of_one_that_changed_nothing() -> None:
    model = small_cnn()
    found = fidelity(model, quantize_onnx(model, SAMPLES), SAMPLES)
    assert found.samples == len(SAMPLES)
    assert found.argmax_agreement is not None and found.argmax_agreement >= 0.8
    assert found.sqnr_db is not None and 15 < found.sqnr_db < 60
    assert fidelity(model, model, SAMPLES) == Fidelity(len(SAMPLES), 1.0, None)


def test_fidelity_tells_a_wrong_model_from_a_rounded_one() -> None:
    model, other = small_cnn(), small_cnn(seed=1)
    rounded, wrong = fidelity(model, quantize_onnx(model, SAMPLES), SAMPLES), fidelity(model, other, SAMPLES)
    assert rounded.sqnr_db is not None and wrong.sqnr_db is not None
    assert wrong.sqnr_db < rounded.sqnr_db - 10


def test_one_single_output_has_no_largest() -> None:
    b = FloatBuilder(0, ("n", 3, 12, 12))
    model = b.build(b.dense(b.node("Flatten", [b.node("GlobalAveragePool", ["x"])]), 3, 1))
    assert fidelity(model, quantize_onnx(model, SAMPLES), SAMPLES).argmax_agreement is None
