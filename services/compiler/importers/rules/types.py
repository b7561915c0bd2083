"""Rules on element types and quantization."""

from __future__ import annotations

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Conv2D, DepthwiseConv2D, FullyConnected, Op, PRelu, RnnPool, Table
from services.compiler.ir.tensor import DType, Tensor, quoted

Weighted = Conv2D | DepthwiseConv2D | FullyConnected

_QUANTIZED = (DType.INT8, DType.UINT8)
_SMALLEST_SCALE, _LARGEST_SCALE = 2.0**-28, 2.0**28


def activations(graph: Graph, op: Op) -> tuple[Tensor, ...]:
    """Return the tensors that flow through an operator: all but weights, bias and tables."""
    data = op.inputs[:1] if isinstance(op, Weighted | RnnPool | Table) else op.inputs
    return tuple(graph.tensors[t] for t in (*data, *op.outputs))


def int8_activations(graph: Graph, op: Op) -> str | None:
    """Inputs and outputs are int8 (uint8 and float32 only at QUANTIZE and DEQUANTIZE)."""
    for tensor in activations(graph, op):
        if tensor.dtype is DType.FLOAT32:
            return (
                f"tensor {quoted(tensor.name)} is float32: quantize the model to int8 first (full integer quantization)"
            )
        if tensor.dtype is not DType.INT8:
            return f"tensor {quoted(tensor.name)} is {tensor.dtype.value}: must be int8"
    return None


def integer_activations(graph: Graph, op: Op) -> str | None:
    """Inputs and outputs are all int8 or all int16 (uint8 and float32 only at QUANTIZE and DEQUANTIZE)."""
    if all(tensor.dtype is DType.INT16 for tensor in activations(graph, op)):
        return None
    return int8_activations(graph, op)


def movable_type(graph: Graph, op: Op) -> str | None:
    """Input and output are of one type: int8, uint8, int16 or float32."""
    source, result = graph.tensors[op.input], graph.tensors[op.output]
    if source.dtype is not result.dtype:
        return f"input is {source.dtype.value} and output {result.dtype.value}: must be the same"
    if source.dtype not in (*_QUANTIZED, DType.INT16, DType.FLOAT32):
        return f"tensor {quoted(source.name)} is {source.dtype.value}: must be int8, uint8, int16 or float32"
    return None


def quantize_types(graph: Graph, op: Op) -> str | None:
    """The input is float32, int8, uint8 or int16; the output is int8, uint8 or int16, not uint8 beside int16."""
    source, result = graph.tensors[op.input], graph.tensors[op.output]
    if source.dtype not in (*_QUANTIZED, DType.INT16, DType.FLOAT32):
        return f"input {quoted(source.name)} is {source.dtype.value}: must be float32, int8, uint8 or int16"
    if result.dtype not in (*_QUANTIZED, DType.INT16):
        return f"output {quoted(result.name)} is {result.dtype.value}: must be int8, uint8 or int16"
    if {source.dtype, result.dtype} == {DType.UINT8, DType.INT16}:
        return f"types are {source.dtype.value} to {result.dtype.value}: uint8 must become int8 first"
    return None


def dequantize_types(graph: Graph, op: Op) -> str | None:
    """The input is int8, uint8 or int16, computed; the output is float32."""
    source, result = graph.tensors[op.input], graph.tensors[op.output]
    if source.is_constant:
        return f"input {quoted(source.name)} is a constant: weights stay int8 in a fully quantized model"
    if source.dtype not in (*_QUANTIZED, DType.INT16) or result.dtype is not DType.FLOAT32:
        return f"types are {source.dtype.value} to {result.dtype.value}: must be int8, uint8 or int16 to float32"
    return None


def quantized(graph: Graph, op: Op) -> str | None:
    """Integer inputs and outputs have one scale, from 2**-28 to 2**28, and a zero point: 0 for int16, else any."""
    for tensor in activations(graph, op):
        if tensor.dtype.is_float:
            continue
        if tensor.quant is None:
            return (
                f"tensor {quoted(tensor.name)} has no scale and zero point: quantize the model with a calibration set"
            )
        if tensor.quant.per_channel:
            return f"tensor {quoted(tensor.name)} has one scale a channel: only weights may"
        low, high = (0, 0) if tensor.dtype is DType.INT16 else tensor.dtype.value_range
        if not low <= tensor.quant.zero_point[0] <= high:
            point = tensor.quant.zero_point[0]
            return f"tensor {quoted(tensor.name)} has zero point {point}: must be from {low} to {high}"
        if not _SMALLEST_SCALE <= tensor.quant.scale[0] <= _LARGEST_SCALE:
            return f"tensor {quoted(tensor.name)} has scale {tensor.quant.scale[0]:g}: must be from 2**-28 to 2**28"
    return None


def constant_narrow_weights(graph: Graph, op: Weighted) -> str | None:
    """Weights are int8 constants in the file, for int8 activations also int4."""
    weights = graph.tensors[op.weights]
    if not weights.is_constant:
        return f"weights {quoted(weights.name)} are computed: must be constants in the file"
    if weights.dtype not in (DType.INT8, DType.INT4):
        return f"weights {quoted(weights.name)} are {weights.dtype.value}: must be int8 or int4"
    if weights.dtype is DType.INT4 and graph.tensors[op.input].dtype is DType.INT16:
        return f"weights {quoted(weights.name)} are int4 and activations int16: must be int8 with int16 activations"
    return None


def symmetric_weights(graph: Graph, op: Weighted) -> str | None:
    """Weights have zero point 0 and one scale, or one scale an output channel."""
    weights = graph.tensors[op.weights]
    quant = weights.quant
    if quant is None:
        return f"weights {quoted(weights.name)} have no scale: quantize the model to int8"
    if any(quant.zero_point):
        return f"weights {quoted(weights.name)} have a zero point other than 0: quantize weights symmetrically"
    axis = weight_channel_axis(op)
    if len(quant.scale) > 1 and (quant.axis != axis or len(quant.scale) != weights.shape[axis]):
        return f"weights {quoted(weights.name)} have {len(quant.scale)} scales along {quant.axis}: must be along {axis}"
    return None


def weight_channel_axis(op: Weighted) -> int:
    """Return the dimension of the weights that counts output channels."""
    return 3 if isinstance(op, DepthwiseConv2D) else 0


def constant_bias(graph: Graph, op: Weighted) -> str | None:
    """The bias, if any, is a constant an output channel: int32, with int16 activations int64, in Conv2D either."""
    if op.bias is None:
        return None
    bias = graph.tensors[op.bias]
    channels = graph.tensors[op.weights].shape[weight_channel_axis(op)]
    if not bias.is_constant:
        return f"bias {quoted(bias.name)} is computed: must be a constant in the file"
    allowed = _bias_types(graph, op)
    if bias.dtype not in allowed or bias.elements != channels:
        found = f"{bias.dtype.value}{list(bias.shape)}"
        types = " or ".join(dtype.value for dtype in allowed)
        return f"bias {quoted(bias.name)} is {found}: must be {types} with {channels} elements"
    return None


def _bias_types(graph: Graph, op: Weighted) -> tuple[DType, ...]:
    if graph.tensors[op.input].dtype is not DType.INT16:
        return (DType.INT32,)
    return (DType.INT64, DType.INT32) if isinstance(op, Conv2D) else (DType.INT64,)


def constant_alpha(graph: Graph, op: PRelu) -> str | None:
    """The slopes are a constant in the file."""
    alpha = graph.tensors[op.alpha]
    return None if alpha.is_constant else f"alpha {quoted(alpha.name)} is computed: must be a constant in the file"


def table_of_256(graph: Graph, op: Table) -> str | None:
    """The table is an int8 constant of 256 entries."""
    table = graph.tensors[op.table]
    if not table.is_constant or table.dtype is not DType.INT8 or table.shape != (256,):
        return f"table {quoted(table.name)} is {table.dtype.value}{list(table.shape)}: must be a constant int8[256]"
    return None
