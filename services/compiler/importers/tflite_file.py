"""A TFLite file as plain values: every index and length is checked here, before anything is built from it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import tflite

from services.compiler.errors import InvalidModelError, UnsupportedModelError
from services.compiler.ir.tensor import DType, QuantParams, Tensor, quoted

ABSENT = -1

_IDENTIFIER = b"TFL3"
_SCHEMA_VERSION = 3
_MAX_OPERATORS = 2_000
_MAX_TENSORS = 100_000
_MAX_RANK = 8
_MAX_TENSOR_BYTES = 64 << 20  # far beyond any microcontroller; keeps a corrupt shape from eating the memory

_DTYPES = {
    tflite.TensorType.FLOAT32: DType.FLOAT32,
    tflite.TensorType.INT32: DType.INT32,
    tflite.TensorType.UINT8: DType.UINT8,
    tflite.TensorType.INT64: DType.INT64,
    tflite.TensorType.BOOL: DType.BOOL,
    tflite.TensorType.INT16: DType.INT16,
    tflite.TensorType.INT8: DType.INT8,
    tflite.TensorType.INT4: DType.INT4,
}


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


_OPERATOR_NAMES = _names(tflite.BuiltinOperator)
_TYPE_NAMES = _names(tflite.TensorType)

Options = TypeVar("Options")


@dataclass(frozen=True, slots=True)
class FileOperator:
    """One operator: its builtin name (`CONV_2D`) and its tensor indices (ABSENT for a missing optional one)."""

    index: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    union_type: int
    union: Any

    def options(self, options_type: type[Options]) -> Options:
        """Return the operator's options read as `options_type`. Raises InvalidModelError if they are another type's."""
        expected = getattr(tflite.BuiltinOptions, options_type.__name__)
        if self.union is None or self.union_type != expected:
            raise InvalidModelError(f"{self} has options of type {self.union_type}: must be {options_type.__name__}")
        options = options_type()
        options.Init(self.union.Bytes, self.union.Pos)  # type: ignore[attr-defined]
        return options

    def __str__(self) -> str:
        return f"operator {self.index} ({self.kind})"


@dataclass(frozen=True, slots=True)
class TfliteFile:
    """The first subgraph of a file; tensors are read when an operator names them."""

    data: bytes
    model: Any
    subgraph: Any
    operators: tuple[FileOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def tensor(self, index: int) -> Tensor:
        """Return tensor `index`, with its data where it is a constant. Raises ModelError naming it."""
        table = self.subgraph.Tensors(index)
        name = (table.Name() or b"").decode("utf-8", errors="replace")
        dtype = _DTYPES.get(table.Type())
        if dtype is None:
            kind = _TYPE_NAMES.get(table.Type(), str(table.Type()))
            allowed = ", ".join(d.value for d in _DTYPES.values())
            raise UnsupportedModelError(f"tensor {quoted(name)} is of type {kind}: must be one of {allowed}")
        shape = _shape(name, table)
        if prod(shape) * dtype.bits > _MAX_TENSOR_BYTES * 8:
            raise UnsupportedModelError(
                f"tensor {quoted(name)} of shape {shape} takes more than {_MAX_TENSOR_BYTES >> 20} MiB, "
                "which no microcontroller holds"
            )
        data = self._constant(name, table.Buffer(), dtype, shape)
        try:
            quant = None if dtype.is_float else _quantization(table, shape)
            return Tensor(name, shape, dtype, quant, data, data is not None)
        except ValueError as error:
            raise InvalidModelError(f"tensor {quoted(name)}: {error}") from error

    def _constant(self, name: str, buffer: int, dtype: DType, shape: tuple[int, ...]) -> npt.NDArray[np.generic] | None:
        """Return a view of the tensor's bytes in the file, or None for an activation (empty buffer)."""
        if buffer >= self.model.BuffersLength():
            raise InvalidModelError(
                f"tensor {quoted(name)} names buffer {buffer}: the file has {self.model.BuffersLength()} buffers"
            )
        raw = _buffer_bytes(self.data, self.model.Buffers(buffer))
        if not len(raw):
            return None
        needed = (prod(shape) * dtype.bits + 7) // 8
        if len(raw) != needed:
            raise InvalidModelError(
                f"tensor {quoted(name)} of shape {shape} has {len(raw)} bytes of data: must have {needed}"
            )
        if dtype is DType.INT4:
            return _unpacked(raw, prod(shape)).reshape(shape)
        return np.frombuffer(raw, dtype=dtype.numpy.newbyteorder("<")).reshape(shape)


def read_file(data: bytes) -> TfliteFile:
    """Return the file's first subgraph. Raises ModelError; flatbuffers' own errors pass through."""
    if len(data) < 8 or data[4:8] != _IDENTIFIER:
        raise InvalidModelError(f"not a TFLite file: bytes 4 to 8 are {data[4:8]!r}, must be {_IDENTIFIER!r}")
    model = tflite.Model.GetRootAs(data, 0)
    if model.Version() != _SCHEMA_VERSION:
        raise UnsupportedModelError(f"TFLite schema version is {model.Version()}: must be {_SCHEMA_VERSION}")
    if model.SubgraphsLength() != 1:
        raise UnsupportedModelError(
            f"model has {model.SubgraphsLength()} subgraphs: must have 1 (no control flow, no variables)"
        )
    subgraph = model.Subgraphs(0)
    _check_count("tensors", subgraph.TensorsLength(), _MAX_TENSORS)
    _check_count("operators", subgraph.OperatorsLength(), _MAX_OPERATORS)
    operators = tuple(_operator(model, subgraph, i) for i in range(subgraph.OperatorsLength()))
    inputs = _indices("graph", subgraph, subgraph.InputsAsNumpy())
    outputs = _indices("graph", subgraph, subgraph.OutputsAsNumpy())
    if not inputs or not outputs or ABSENT in (*inputs, *outputs):
        raise InvalidModelError(f"model has {len(inputs)} inputs and {len(outputs)} outputs: must have 1 or more")
    return TfliteFile(data, model, subgraph, operators, inputs, outputs)


def _check_count(what: str, count: int, largest: int) -> None:
    if count > largest:
        raise InvalidModelError(f"model has {count} {what}: must have at most {largest}")


def _operator(model: Any, subgraph: Any, index: int) -> FileOperator:
    table = subgraph.Operators(index)
    if table.OpcodeIndex() >= model.OperatorCodesLength():
        raise InvalidModelError(f"operator {index} names operator code {table.OpcodeIndex()}, which the file lacks")
    code = model.OperatorCodes(table.OpcodeIndex())
    # files older than schema 3a hold the code in a byte; newer ones in both fields
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    kind = _OPERATOR_NAMES.get(number, f"unknown operator {number}")
    if number == tflite.BuiltinOperator.CUSTOM:
        custom = (code.CustomCode() or b"").decode("utf-8", errors="replace")
        kind = f"custom operator {custom!r}"
    where = f"operator {index} ({kind})"
    inputs = _indices(where, subgraph, table.InputsAsNumpy())
    outputs = _indices(where, subgraph, table.OutputsAsNumpy())
    return FileOperator(index, kind, inputs, outputs, table.BuiltinOptionsType(), table.BuiltinOptions())


def _indices(where: str, subgraph: Any, vector: Any) -> tuple[int, ...]:
    """Return a vector of tensor indices, each checked (flatbuffers gives 0 for a missing vector)."""
    indices = () if isinstance(vector, int) else tuple(int(i) for i in vector)
    count = subgraph.TensorsLength()
    if bad := [i for i in indices if not ABSENT <= i < count]:
        raise InvalidModelError(f"{where} names tensor {bad[0]}: the file has {count} tensors")
    return indices


def _shape(name: str, table: Any) -> tuple[int, ...]:
    vector = table.ShapeAsNumpy()
    if isinstance(vector, int):
        return ()
    if len(vector) > _MAX_RANK:
        raise UnsupportedModelError(
            f"tensor {quoted(name)} has {len(vector)} dimensions: must have at most {_MAX_RANK}"
        )
    shape = tuple(int(d) for d in vector)
    if min(shape, default=1) < 1:
        raise InvalidModelError(f"tensor {quoted(name)} has shape {shape}: every dimension must be at least 1")
    return shape


def _quantization(table: Any, shape: tuple[int, ...]) -> QuantParams | None:
    """Return the tensor's quantization, or None where the file has no scale or no zero point (as TFLM reads it)."""
    quant = table.Quantization()
    if quant is None or not quant.ScaleLength() or not quant.ZeroPointLength():
        return None
    scale = tuple(float(s) for s in quant.ScaleAsNumpy())
    zero_point = tuple(int(z) for z in quant.ZeroPointAsNumpy())
    if len(zero_point) == 1:
        zero_point *= len(scale)
    if len(scale) == 1:
        return QuantParams(scale, zero_point)
    return QuantParams(scale, zero_point, _channel_axis(quant.QuantizedDimension(), len(scale), shape))


def _channel_axis(stated: int, channels: int, shape: tuple[int, ...]) -> int:
    """Return the quantized dimension; where the stated one cannot be meant, the last of the right size.

    Older converters wrote 3 on rank-1 biases; TFLM never looks at that field of a bias, so such files run.
    """
    if stated < len(shape) and shape[stated] == channels:
        return stated
    fitting = [axis for axis, size in enumerate(shape) if size == channels]
    if not fitting:
        raise ValueError(f"{channels} scales along dimension {stated} do not fit shape {shape}")
    return fitting[-1]


def _unpacked(raw: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.int8]:
    """Return int4 elements as int8: two a byte, the first in the low nibble (TFLM's UnpackDenseInt4IntoInt8)."""
    pairs = raw.view(np.int8)
    return np.stack([(pairs << 4) >> 4, pairs >> 4], axis=-1).reshape(-1)[:count]


def _buffer_bytes(data: bytes, buffer: Any) -> npt.NDArray[np.uint8]:
    """Return a buffer's bytes, inside the flatbuffer or, in files beyond 2 GB, behind it."""
    if buffer.Offset() > 1:
        start, size = buffer.Offset(), buffer.Size()
        if start + size > len(data):
            raise InvalidModelError(f"a buffer ends at byte {start + size}: the file has {len(data)}")
        return np.frombuffer(data, dtype=np.uint8, count=size, offset=start)
    vector = buffer.DataAsNumpy()
    return np.empty(0, dtype=np.uint8) if isinstance(vector, int) else vector
