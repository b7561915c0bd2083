"""QuantizeLinear and DequantizeLinear: other names of a value that already has the type, else a Quantize."""

from __future__ import annotations

from services.compiler.importers.onnx.lower_function import PROBABILITY
from services.compiler.importers.onnx.lowering import Lowering
from services.compiler.importers.onnx.model import Node
from services.compiler.importers.onnx.quantization import (
    Constant,
    QuantType,
    element_name,
    is_integer_type,
    read_type,
    to_signed,
)
from services.compiler.importers.onnx.refusals import invalid, unsupported
from services.compiler.ir.tensor import DType


def lower_quantize(lowering: Lowering, node: Node) -> None:
    """Bind the integers of a value; a Quantize is emitted where its operator could not write that type."""
    value = lowering.value(node, 0)
    if isinstance(value, Constant):
        raise unsupported(node, "its input is a constant with a scale", "quantize constants once")
    type_ = read_type(node, lowering.model.constants, None, None)
    if type_.dtype is not DType.INT8:
        raise unsupported(node, f"it makes {type_.dtype.value}", "use int8 or uint8 activations")
    lowering.integer_names[node.output] = element_name(node, lowering.model.constants)
    written = lowering.builder.type_of(value.tensor)
    if written == PROBABILITY and _nearly_probability(type_) and not lowering.lookahead.is_output(node.output):
        lowering.bind(node.output, value)
        return
    lowering.bind(node.output, lowering.quantized_input(value, type_, node.output))


def _nearly_probability(type_: QuantType) -> bool:
    """Whether a type is 0..1 in 255ths, which exporters choose where TFLite fixes 256ths."""
    return type_.quant.zero_point == (-128,) and 1 / 256 <= type_.quant.scale[0] <= 1 / 254


def lower_dequantize(lowering: Lowering, node: Node) -> None:
    """Bind the real value of integers: constants keep their integers, activations their tensor."""
    value = lowering.value(node, 0)
    constants = lowering.model.constants
    if isinstance(value, Constant):
        name = value.data.dtype.name
        if value.type is not None or not is_integer_type(name):
            raise unsupported(node, f"its input is {name}", "use int8, uint8, int4 or int32 constants")
        type_ = read_type(node, constants, name, value.data.ndim)
        _check_channels(node, value, type_)
        lowering.bind(node.output, Constant(to_signed(value.data), type_))
        return
    written = lowering.builder.type_of(value.tensor)
    if written is None:
        raise invalid(f"the input of {node.op_type} {node.name!r}", "float", "must be integers")
    type_ = read_type(node, constants, lowering.integer_names.get(node.inputs[0]), None)
    if type_ != written and not (written == PROBABILITY and _nearly_probability(type_)):
        raise unsupported(node, "its scale or zero point is not its QuantizeLinear's", "use the same for both")
    lowering.bind(node.output, value)


def _check_channels(node: Node, value: Constant, type_: QuantType) -> None:
    axis = type_.quant.axis
    if axis is not None and len(type_.quant.scale) != value.data.shape[axis]:
        raise invalid(
            f"the number of scales of {node.op_type} {node.name!r}",
            len(type_.quant.scale),
            f"must be {value.data.shape[axis]}, the size of axis {axis}",
        )
