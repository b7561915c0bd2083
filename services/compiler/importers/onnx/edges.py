"""Model inputs and outputs: the user's arrays keep ONNX's layout and type; Quantize and Transpose stand at the edge.

Channels-first inputs reach the graph as declared (NCHW), are quantized and then transposed before anything else, so
that the compiler can strip the Quantize and then the Transpose to the host. Outputs mirror this.
"""

from __future__ import annotations

from services.compiler.importers.onnx.layout import image_layout
from services.compiler.importers.onnx.lowering import Lowering
from services.compiler.importers.onnx.model import Port
from services.compiler.importers.onnx.quantization import Constant, QuantType
from services.compiler.importers.onnx.refusals import invalid
from services.compiler.importers.onnx.view import plain
from services.compiler.ir.ops import Dequantize, Quantize
from services.compiler.ir.tensor import DType, QuantParams, TensorId

_IMAGE_OPS = frozenset(
    {
        "Conv",
        "MaxPool",
        "AveragePool",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "BatchNormalization",
        "Resize",
        "Upsample",
        "DepthToSpace",
        "RnnPool",
    }
)
_PASSED = frozenset(
    {
        "QuantizeLinear",
        "DequantizeLinear",
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Relu",
        "Clip",
        "LeakyRelu",
        "Sigmoid",
        "Tanh",
        "HardSwish",
        "HardSigmoid",
        "Pad",
        "Identity",
        "Dropout",
        "Slice",
        "Concat",
        "Split",
    }
)
_UINT8_SHIFT = 128


def lower_input(lowering: Lowering, port: Port) -> TensorId:
    """Add an input tensor as the model declares it, bind its value in NHWC if it is an image, and return its id."""
    if port.dtype not in ("float32", "int8", "uint8"):
        raise invalid(f"the type of input {port.name!r}", port.dtype, "must be float32, int8 or uint8")
    if port.dtype == "float32":
        source = lowering.builder.add(port.name, port.shape, DType.FLOAT32, None)
        lowering.bind(port.name, plain(source, port.shape))
        if is_image(lowering, port):
            lowering.image_inputs.add(source)
        return source
    type_, dtype = _integer_type(lowering, port), DType(port.dtype)
    source = lowering.builder.add(port.name, port.shape, dtype, _declared(type_.quant, dtype))
    view = plain(source, port.shape)
    if dtype is DType.UINT8:
        view = lowering.requantized(view, type_, f"{port.name}/int8")
    lowering.integer_names[port.name] = port.dtype
    lowering.bind(port.name, lowering.stored_as_image(view) if is_image(lowering, port) else view)
    return source


def _integer_type(lowering: Lowering, port: Port) -> QuantType:
    type_ = lowering.lookahead.dequantized_type(port.name, port.dtype)
    if type_ is None:
        raise invalid(
            f"the scale of input {port.name!r}", "unknown", f"a DequantizeLinear must read an {port.dtype} input"
        )
    return type_


def _declared(quant: QuantParams, dtype: DType) -> QuantParams:
    """Return the quantization in the declared type: uint8 has its zero point 128 higher than the int8 inside."""
    shift = _UINT8_SHIFT if dtype is DType.UINT8 else 0
    return QuantParams(quant.scale, tuple(z + shift for z in quant.zero_point))


def is_image(lowering: Lowering, port: Port) -> bool:
    """Whether an image operator reads the input before anything changes its axes."""
    pending, seen = [port.name], {port.name}
    if image_layout(len(port.shape)) is None:
        return False
    while pending:
        for node in lowering.lookahead.consumers(pending.pop(0)):
            if node.op_type in _IMAGE_OPS:
                return True
            fresh = [v for v in node.outputs if v not in seen] if node.op_type in _PASSED else []
            pending += fresh
            seen.update(fresh)
    return False


def lower_output(lowering: Lowering, port: Port) -> TensorId:
    """Return the tensor of an output in the type and axis order that the model declares."""
    value = lowering.values.get(port.name)
    if value is None or isinstance(value, Constant):
        raise invalid(f"output {port.name!r}", "not computed from the inputs", "must depend on an input")
    if port.dtype not in ("float32", "int8", "uint8"):
        raise invalid(f"the type of output {port.name!r}", port.dtype, "must be float32, int8 or uint8")
    stored = lowering.builder.store(value)
    output = _in_declared_type(lowering, stored, port)
    lowering.builder.rename(output, port.name)
    return output


def _in_declared_type(lowering: Lowering, stored: TensorId, port: Port) -> TensorId:
    builder = lowering.builder
    type_, shape = builder.type_of(stored), builder.tensors[stored].shape
    if type_ is None:
        raise invalid(f"output {port.name!r}", "float and never quantized", "must pass a QuantizeLinear")
    match port.dtype:
        case "int8":
            return stored
        case "uint8":
            output = builder.add(port.name, shape, DType.UINT8, _declared(type_.quant, DType.UINT8))
            builder.emit(Quantize(name=f"{port.name}/uint8", inputs=(stored,), outputs=(output,)))
        case _:
            output = builder.add(port.name, shape, DType.FLOAT32, None)
            builder.emit(Dequantize(name=f"{port.name}/dequantize", inputs=(stored,), outputs=(output,)))
    return output
