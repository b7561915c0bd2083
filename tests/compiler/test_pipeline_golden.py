"""The real models of ../shared through the host twin: TFLM's outputs, bit for bit, on both interfaces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.compiler.ir.tensor import DType, QuantParams
from services.compiler.library import IoTensor
from services.compiler.options import CompileOptions, Core, Interface, Kernels
from services.compiler.pipeline import compile_model
from services.compiler.quant.affine import dequantize, quantize
from tests.compiler.host_twin import Array, build_twins

SHARED = Path(__file__).resolve().parents[3] / "shared"
MODELS = sorted(path.stem for path in (SHARED / "models").glob("*.tflite"))

pytestmark = pytest.mark.skipif(not MODELS, reason="the shared models are not beside this checkout (../shared/models)")

# arena bytes of the int8 interface: a change here is a change of every user's memory
ARENA_BYTES = {
    "ad01_int8": 768,
    "cnn_s_quantized": 7972,
    "dnn_s_quantized": 396,
    "ds_cnn_s_quantized": 8256,
    "hello_world_int8": 28,
    "kws_ref_model": 8256,
    "mcunet_vww1": 76808,
    "micro_speech_quantized": 4164,
    "person_detect": 36872,
    "pretrainedResnet_quant": 33312,
    "silabs_image_example1": 55396,
    "silabs_on_off": 3252,
    "vww_96_int8": 36872,
}


def to_c(slot: IoTensor, values: Array) -> Array:
    """What the host does at a stripped float edge."""
    if values.dtype == np.dtype(slot.dtype):
        return values
    assert slot.scale is not None
    assert slot.zero_point is not None
    return quantize(values, QuantParams((slot.scale,), (slot.zero_point,)), DType(slot.dtype))


def from_c(slot: IoTensor, values: Array) -> Array:
    if slot.model_dtype == slot.dtype:
        return values
    assert slot.scale is not None
    assert slot.zero_point is not None
    return dequantize(values, QuantParams((slot.scale,), (slot.zero_point,)))


@pytest.mark.parametrize("interface", list(Interface), ids=lambda i: i.value)
@pytest.mark.parametrize("name", MODELS)
def test_twin_equals_tflm(name: str, interface: Interface, tmp_path: Path) -> None:
    model = (SHARED / "models" / f"{name}.tflite").read_bytes()
    options = CompileOptions("nucleo-l4r5zi", Core.CORTEX_M4, interface=interface, kernels=Kernels.PORTABLE)
    compiled = compile_model(model, name, options)
    (twin,) = build_twins([compiled], tmp_path)
    (source,), (result,) = compiled.manifest.inputs, compiled.manifest.outputs
    with np.load(SHARED / "golden" / f"{name}.npz") as golden:
        for x, want in zip(golden["input"], golden["output"], strict=True):
            (got,) = twin.run(to_c(source, x.reshape(source.shape)))
            np.testing.assert_array_equal(from_c(result, got), want.reshape(result.shape))
    if interface is Interface.INT8:
        assert compiled.manifest.memory.arena == ARENA_BYTES[name]
        assert compiled.manifest.plan.gap_bytes == 0
