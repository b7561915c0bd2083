"""Builds TFLite files for tests: tensors, operators and options in, the bytes of a model out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
import tflite

_TYPES = {
    "float32": tflite.TensorType.FLOAT32,
    "int4": tflite.TensorType.INT4,
    "int8": tflite.TensorType.INT8,
    "uint8": tflite.TensorType.UINT8,
    "int16": tflite.TensorType.INT16,
    "int32": tflite.TensorType.INT32,
    "int64": tflite.TensorType.INT64,
    "float16": tflite.TensorType.FLOAT16,
}

ACTIVATIONS = {"none": 0, "relu": 1, "relu_n1_to_1": 2, "relu6": 3}
SAME, VALID = tflite.Padding.SAME, tflite.Padding.VALID


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of a file: `data` makes it a constant; several scales are along `axis`."""

    shape: tuple[int, ...]
    dtype: str = "int8"
    scale: tuple[float, ...] = ()
    zero_point: tuple[int, ...] = ()
    axis: int = 0
    name: str = ""
    data: npt.NDArray[Any] | None = None


@dataclass(frozen=True)
class OperatorSpec:
    """One operator: builtin name, tensor indices, the options table's name (empty: none) and its fields."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: str
    fields: dict[str, Any]


@dataclass
class ModelBuilder:
    """A model under construction; `activation`, `constant` and `operator` return indices."""

    tensors: list[TensorSpec] = field(default_factory=list)
    operators: list[OperatorSpec] = field(default_factory=list)

    def tensor(self, spec: TensorSpec) -> int:
        """Add a tensor and return its index."""
        self.tensors.append(spec)
        return len(self.tensors) - 1

    def activation(
        self, shape: Sequence[int], scale: float = 0.0, zero_point: int = 0, dtype: str = "int8", name: str = ""
    ) -> int:
        """Add a tensor that is computed, per-tensor quantized (scale 0: not quantized)."""
        quant = ((scale,), (zero_point,)) if scale else ((), ())
        name = name or f"tensor_{len(self.tensors)}"
        return self.tensor(TensorSpec(tuple(shape), dtype, *quant, name=name))

    def constant(
        self, data: Any, scale: Sequence[float] = (), zero_point: int = 0, axis: int = 0, dtype: str = ""
    ) -> int:
        """Add a constant; its type is the array's unless another is named."""
        array = np.asarray(data)
        zero_points = (zero_point,) * len(scale)
        name = f"constant_{len(self.tensors)}"
        dtype = dtype or str(array.dtype)
        return self.tensor(TensorSpec(array.shape, dtype, tuple(scale), zero_points, axis, name, array))

    def operator(self, kind: str, inputs: Sequence[int], outputs: Sequence[int], options: str, **fields: Any) -> None:
        """Add an operator, for instance `operator("SOFTMAX", [0], [1], "SoftmaxOptions", Beta=1.0)`."""
        self.operators.append(OperatorSpec(kind, tuple(inputs), tuple(outputs), options, fields))

    def build(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """Return the file."""
        return _write(self, tuple(inputs), tuple(outputs))


def _write(model: ModelBuilder, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> bytes:
    b = flatbuffers.Builder(1024)
    buffers = [_buffer(b, None), *(_buffer(b, _stored(spec)) for spec in model.tensors)]
    tensors = [_tensor(b, spec, index + 1) for index, spec in enumerate(model.tensors)]
    kinds = list(dict.fromkeys(op.kind for op in model.operators))
    codes = [_code(b, kind) for kind in kinds]
    operators = [_operator(b, op, kinds.index(op.kind)) for op in model.operators]
    tables = {
        "Tensors": _offsets(b, tensors),
        "Inputs": b.CreateNumpyVector(np.array(inputs, dtype=np.int32)),
        "Outputs": b.CreateNumpyVector(np.array(outputs, dtype=np.int32)),
        "Operators": _offsets(b, operators),
        "Name": b.CreateString("main"),
    }
    subgraphs = _offsets(b, [_table(b, "SubGraph", tables)])
    top = {
        "Version": 3,
        "OperatorCodes": _offsets(b, codes),
        "Subgraphs": subgraphs,
        "Description": b.CreateString("built by a test"),
        "Buffers": _offsets(b, buffers),
    }
    b.Finish(_table(b, "Model", top), file_identifier=b"TFL3")
    return bytes(b.Output())


def _table(b: Any, name: str, fields: dict[str, Any]) -> int:
    getattr(tflite, f"{name}Start")(b)
    for key, value in fields.items():
        getattr(tflite, f"{name}Add{key}")(b, value)
    return int(getattr(tflite, f"{name}End")(b))


def _offsets(b: Any, offsets: Sequence[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return int(b.EndVector())


def _stored(spec: TensorSpec) -> npt.NDArray[Any] | None:
    """Return the bytes of a constant; int4 lies two elements a byte, the first in the low nibble."""
    if spec.dtype != "int4" or spec.data is None:
        return spec.data
    flat = np.append(spec.data.ravel(), [0] * (spec.data.size % 2)).astype(np.int8)
    return (flat[::2] & 15) | (flat[1::2] << 4)


def _buffer(b: Any, data: npt.NDArray[Any] | None) -> int:
    if data is None:
        return _table(b, "Buffer", {})
    raw = np.frombuffer(np.ascontiguousarray(data).tobytes(), dtype=np.uint8)
    b.StartVector(1, len(raw), 16)
    b.head = b.head - len(raw)
    b.Bytes[b.head : b.head + len(raw)] = raw.tobytes()
    return _table(b, "Buffer", {"Data": b.EndVector()})


def _tensor(b: Any, spec: TensorSpec, buffer: int) -> int:
    fields: dict[str, Any] = {
        "Shape": b.CreateNumpyVector(np.array(spec.shape, dtype=np.int32)),
        "Type": _TYPES[spec.dtype],
        "Buffer": buffer,
        "Name": b.CreateString(spec.name),
    }
    if spec.scale:
        fields["Quantization"] = _quantization(b, spec)
    return _table(b, "Tensor", fields)


def _quantization(b: Any, spec: TensorSpec) -> int:
    fields: dict[str, Any] = {
        "Scale": b.CreateNumpyVector(np.array(spec.scale, dtype=np.float32)),
        "ZeroPoint": b.CreateNumpyVector(np.array(spec.zero_point, dtype=np.int64)),
        "QuantizedDimension": spec.axis,
    }
    return _table(b, "QuantizationParameters", fields)


def _code(b: Any, kind: str) -> int:
    number = getattr(tflite.BuiltinOperator, kind)
    return _table(b, "OperatorCode", {"DeprecatedBuiltinCode": min(number, 127), "BuiltinCode": number, "Version": 1})


def _operator(b: Any, op: OperatorSpec, code: int) -> int:
    vectors = {k: b.CreateNumpyVector(np.array(v, dtype=np.int32)) for k, v in op.fields.items() if isinstance(v, list)}
    options = _table(b, op.options, {**op.fields, **vectors}) if op.options else None
    fields: dict[str, Any] = {
        "OpcodeIndex": code,
        "Inputs": b.CreateNumpyVector(np.array(op.inputs, dtype=np.int32)),
        "Outputs": b.CreateNumpyVector(np.array(op.outputs, dtype=np.int32)),
    }
    if options is not None:
        fields["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, op.options)
        fields["BuiltinOptions"] = options
    return _table(b, "Operator", fields)
