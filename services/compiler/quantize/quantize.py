"""The quantization as a list of steps."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import version_converter
from onnxruntime.quantization import CalibrationMethod as OrtMethod
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from services.compiler.errors import InvalidModelError
from services.compiler.importers.onnx.model import Model
from services.compiler.importers.onnx.proto import opset, parse, read_model, set_batch_to_one
from services.compiler.importers.onnx.refusals import unsupported
from services.compiler.quantize.calibration import Array, SampleReader, check_calibration
from services.compiler.quantize.fold_batch_norm import fold_batch_norm
from services.compiler.quantize.int4_overrides import INT4_OPSET, int4_overrides
from services.compiler.quantize.options import CalibrationMethod, QuantizeOptions, WeightType

_ORT_METHODS = {CalibrationMethod.MINMAX: OrtMethod.MinMax, CalibrationMethod.PERCENTILE: OrtMethod.Percentile}
MIN_OPSET = 13
# What the importer compiles and onnxruntime can surround with QuantizeLinear and DequantizeLinear.
QUANTIZED_OPS = (
    "Abs",
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Clip",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Div",
    "Elu",
    "Flatten",
    "Gather",
    "Gemm",
    "GlobalAveragePool",
    "Gelu",
    "GlobalMaxPool",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "MatMul",
    "Max",
    "MaxPool",
    "Min",
    "Mish",
    "Mul",
    "PRelu",
    "Pad",
    "ReduceMax",
    "ReduceMean",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Resize",
    "Sigmoid",
    "Slice",
    "Softplus",
    "Softmax",
    "Split",
    "Squeeze",
    "Sub",
    "Tanh",
    "Transpose",
    "Unsqueeze",
)
# TFLite fixes the output type of these: (scale, zero point).
_FIXED_OUTPUTS = {"Softmax": (1 / 256, -128), "Sigmoid": (1 / 256, -128), "Tanh": (1 / 128, 0), "RnnPool": (1 / 128, 0)}


def quantize_onnx(
    model_bytes: bytes, calibration: Mapping[str, Array] | Array, options: QuantizeOptions | None = None
) -> bytes:
    """Return the float model as QDQ: per-channel symmetric weights, per-tensor int8 activations, batch 1.

    `calibration` is an array [samples, ...] for each input in the model's own layout, or one for the only input.
    The same bytes in give the same bytes out. Raises InvalidModelError or InvalidArgumentError.
    """
    chosen = options or QuantizeOptions()
    model = read_model(model_bytes)
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.nodes):
        raise InvalidModelError("the model is already quantized: quantize takes float models")
    _refuse_groups(model)
    arrays = check_calibration(model.inputs, calibration, chosen.max_samples)
    proto = _at_least_opset(parse(model_bytes), MIN_OPSET if chosen.weights is WeightType.INT8 else INT4_OPSET)
    set_batch_to_one(proto)
    with tempfile.TemporaryDirectory(prefix="tinyfarm-quantize-") as folder:
        prepared = _prepare(proto, Path(folder))
        return _quantize(prepared, arrays, chosen, Path(folder))


def _refuse_groups(model: Model) -> None:
    """Refuse what is never compiled, and of whose biases onnxruntime's quantizer knows no scales."""
    for node in model.nodes:
        if node.op_type == "ConvTranspose" and node.integer("group", 1) != 1:
            raise unsupported(node, f"it has {node.integer('group', 1)} groups", "use one group")


def _at_least_opset(proto: onnx.ModelProto, least: int) -> onnx.ModelProto:
    """Per-channel DequantizeLinear exists from opset 13 on, that of int4 from 21; older models are brought there."""
    if opset(proto) >= least:
        return proto
    try:
        return version_converter.convert_version(proto, least)
    except Exception as error:  # the converter raises what its C++ code does
        raise InvalidModelError(f"the model's opset {opset(proto)} cannot be brought to {least}: {error}") from error


def _prepare(proto: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """Fold constants and batch normalizations by onnxruntime's basic optimizations and infer every shape."""
    optimized = folder / "optimized.onnx"
    session_options = onnxruntime.SessionOptions()
    session_options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    session_options.optimized_model_filepath = str(optimized)
    session_options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(proto.SerializeToString(), session_options, providers=["CPUExecutionProvider"])
        # Optimization dissolves functions into their operators; what calls one is taken as it is.
        prepared = proto if proto.functions else onnx.load(str(optimized))
        fold_batch_norm(prepared)
        prepared = onnx.shape_inference.infer_shapes(prepared)
    except Exception as error:  # onnxruntime raises a dozen classes of its own without a common root
        raise InvalidModelError(f"onnxruntime cannot run the model: {error}") from error
    add_pre_process_metadata(prepared)
    return prepared


def _quantize(proto: onnx.ModelProto, arrays: Mapping[str, Array], options: QuantizeOptions, folder: Path) -> bytes:
    target = folder / "quantized.onnx"
    overrides = {
        node.output[0]: [{"scale": _array(scale, "float32"), "zero_point": _array(zero, "int8")}]
        for node in proto.graph.node
        for scale, zero in [_FIXED_OUTPUTS.get(node.op_type, (0.0, 0))]
        if scale
    }
    extra = {
        "ActivationSymmetric": False,
        "WeightSymmetric": True,
        "ForceQuantizeNoInputCheck": True,
        "TensorQuantOverrides": {**overrides, **int4_overrides(proto, options.weights)},
        "CalibPercentile": options.percentile,
    }
    quantize_static(
        proto,
        str(target),
        SampleReader(arrays),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(QUANTIZED_OPS),
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=_ORT_METHODS[options.method],
        extra_options=extra,
    )
    return target.read_bytes()


def _array(value: float, dtype: str) -> Array:
    return np.array(value, dtype=dtype)
