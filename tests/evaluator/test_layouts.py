"""Channels-first ONNX models: the host brings the axes in order, and the device pays nothing for it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.compiler.options import CompileOptions, Core, Interface
from services.compiler.pipeline import compile_model
from services.compiler.quantize import quantize_onnx
from services.evaluator.evaluate import Evaluation, Request, Workplace, evaluate
from services.evaluator.farm import load_farm
from services.evaluator.interface import from_c, to_c
from services.evaluator.manifest import TensorSpec
from tests.compiler.quantize.float_models import FloatBuilder

BOARD = "nano33ble"
OPTIONS = CompileOptions(BOARD, Core.CORTEX_M4)


def channels_first(channels: int) -> tuple[bytes, np.ndarray]:
    """A quantized model [n, C, 8, 6] to [n, 5, 8, 6], and samples of it."""
    b = FloatBuilder(3, ("n", channels, 8, 6))
    model = b.build(b.conv(b.node("Relu", [b.conv("x", channels, 8, 3)]), 8, 5, 1))
    samples = np.random.default_rng(1).normal(size=(4, channels, 8, 6)).astype(np.float32)
    return quantize_onnx(model, samples), samples


def measured(model: bytes, samples: np.ndarray, interface: Interface, cache: Path) -> Evaluation:
    library = compile_model(model, "net", replace(OPTIONS, interface=interface)).library_zip
    buffer = io.BytesIO()
    np.savez(buffer, x=samples)
    return evaluate(Request(library, buffer.getvalue()), load_farm().board(BOARD), Workplace(cache, 120))


@pytest.mark.parametrize("channels", [1, 3])
def test_samples_and_outputs_keep_the_models_own_axes(channels: int, cache: Path) -> None:
    model, samples = channels_first(channels)
    host, device = (measured(model, samples, interface, cache) for interface in (Interface.INT8, Interface.FLOAT))
    (_, outputs), (_, expected) = host.outputs[0], device.outputs[0]
    assert host.twin_equal and device.twin_equal
    assert outputs.shape == (4, 5, 8, 6)
    np.testing.assert_array_equal(outputs, expected)
    assert host.performance is not None and device.performance is not None
    assert not [layer.op for layer in host.performance.layers if layer.op in ("Transpose", "Quantize", "Dequantize")]
    assert [layer.op for layer in device.performance.layers if layer.op in ("Transpose", "Quantize", "Dequantize")] == [
        "Quantize",
        "Dequantize",
    ]
    assert host.performance.instructions < device.performance.instructions


@pytest.mark.parametrize("permutation", [None, (0, 2, 3, 1), (0, 3, 1, 2), (3, 0, 2, 1)])
def test_to_c_and_back_is_the_same(permutation: tuple[int, ...] | None) -> None:
    declared = (1, 2, 3, 4)
    shape = declared if permutation is None else tuple(declared[axis] for axis in permutation)
    x = np.random.default_rng(0).integers(-128, 128, (5, 2, 3, 4), dtype=np.int8)

    def spec(shape: tuple[int, ...], declared: tuple[int, ...], axes: tuple[int, ...] | None) -> TensorSpec:
        return TensorSpec(
            name="t", shape=shape, dtype="int8", offset_bytes=0, size_bytes=24, model_dtype="int8",
            model_shape=declared, permutation=axes,
        )  # fmt: skip

    stored = to_c(spec(shape, declared, permutation), x)
    moved = np.stack([s[np.newaxis].transpose(permutation or (0, 1, 2, 3)) for s in x])
    np.testing.assert_array_equal(stored, moved.reshape(stored.shape))
    back = None if permutation is None else tuple(int(axis) for axis in np.argsort(permutation))
    np.testing.assert_array_equal(from_c(spec(shape, declared, back), stored), x)
