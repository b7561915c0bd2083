"""What onnxruntime is told so that it writes int4 weights: their type and the scale of every output channel."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import QuantType

from services.compiler.quantize.int4_scales import int4_scales
from services.compiler.quantize.options import WeightType

# The first opset whose DequantizeLinear reads int4.
INT4_OPSET = 21

# Overrides of one tensor: one entry, or one for each channel.
Overrides = dict[str, list[dict[str, Any]]]


def int4_overrides(proto: onnx.ModelProto, weights: WeightType) -> Overrides:
    """Return the overrides of every constant that becomes int4, by name; none for int8 weights."""
    constants = {initializer.name: initializer for initializer in proto.graph.initializer}
    axes = {
        node.input[1]: axis
        for node in proto.graph.node
        if len(node.input) > 1 and node.input[1] in constants and (axis := _output_axis(node)) is not None
    }
    match weights:
        case WeightType.INT8:
            chosen: list[str] = []
        case WeightType.INT4:
            chosen = list(axes)
        case WeightType.MIXED:
            chosen = list(axes)[1:-1]
    return {name: _channels(numpy_helper.to_array(constants[name]), axes[name]) for name in chosen}


def _output_axis(node: onnx.NodeProto) -> int | None:
    """Return the dimension of a node's weights that counts output channels, None if it is no layer with weights."""
    match node.op_type:
        case "Conv":
            return 0
        case "Gemm":
            return 0 if any(a.name == "transB" and a.i for a in node.attribute) else 1
        case "MatMul":
            return 1
        case _:
            return None


def _channels(values: np.ndarray[Any, Any], axis: int) -> list[dict[str, Any]]:
    filters = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1).astype(np.float64)
    zero = np.array(0, np.int8)
    return [
        {"quant_type": QuantType.QInt4, "axis": axis, "scale": np.array(scale, np.float32), "zero_point": zero}
        for scale in int4_scales(filters)
    ]
