"""What a QuantizeLinear or DequantizeLinear says: element type, scales, zero points; uint8 is shifted to int8.

Real values do not change when a uint8 and its zero point are both lowered by 128, so the graph is int8 throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.compiler.importers.onnx.model import Array, Node
from services.compiler.importers.onnx.refusals import invalid, unsupported
from services.compiler.ir.tensor import DType, QuantParams

_SIGNED = {
    "int8": (DType.INT8, 0),
    "uint8": (DType.INT8, 128),
    "int4": (DType.INT4, 0),
    "uint4": (DType.INT4, 8),
    "int32": (DType.INT32, 0),
}
# TensorProto.DataType numbers of QuantizeLinear's output_dtype.
_OUTPUT_TYPES = {2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 21: "uint4", 22: "int4"}


@dataclass(frozen=True, slots=True)
class QuantType:
    """Element type and quantization of a value."""

    dtype: DType
    quant: QuantParams

    @property
    def real_range(self) -> tuple[float, float]:
        """Smallest and largest real value that the type can hold (of the first channel)."""
        low, high = self.dtype.value_range
        scale, zero_point = self.quant.scale[0], self.quant.zero_point[0]
        return (low - zero_point) * scale, (high - zero_point) * scale


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant: plain numbers, or with `type` integers that stand for real ones."""

    data: Array
    type: QuantType | None = None

    def real(self) -> npt.NDArray[np.float64]:
        """Return the real values."""
        if self.type is None:
            return self.data.astype(np.float64)
        quant = self.type.quant
        shape = [1] * self.data.ndim
        if quant.axis is not None:
            shape[quant.axis] = -1
        scale = np.array(quant.scale).reshape(shape)
        centered: npt.NDArray[np.float64] = self.data.astype(np.float64) - np.array(quant.zero_point).reshape(shape)
        return np.asarray(centered * scale)


def read_type(node: Node, constants: Mapping[str, Array], element: str | None, rank: int | None) -> QuantType:
    """Return the type that a QuantizeLinear writes or a DequantizeLinear reads.

    `element` is the numpy name of the integer type where the caller knows it; `rank` resolves a negative axis.
    """
    scale = _required(node, constants, 1)
    zero = None if node.input_or_none(2) is None else _required(node, constants, 2)
    found = element or element_name(node, constants)
    if found not in _SIGNED:
        raise unsupported(node, f"its integers are {found}", "use int8 or uint8 (weights also int4)")
    dtype, shift = _SIGNED[found]
    return QuantType(dtype, _params(node, scale, zero, shift, rank))


def element_name(node: Node, constants: Mapping[str, Array]) -> str:
    """Return the numpy name of the integers of a node: its zero point's, else its output_dtype, else uint8."""
    if node.input_or_none(2) is not None:
        return _required(node, constants, 2).dtype.name
    return _OUTPUT_TYPES.get(node.integer("output_dtype", 0), "uint8")


def to_signed(data: Array) -> Array:
    """Return integers as the IR holds them: uint8 and uint4 lowered to signed, int4 one an int8."""
    dtype, shift = _SIGNED[data.dtype.name]
    return (data.astype(np.int64) - shift).astype(dtype.numpy)


def is_integer_type(name: str) -> bool:
    """Whether a numpy type name is one that DequantizeLinear may read here."""
    return name in _SIGNED


def _required(node: Node, constants: Mapping[str, Array], index: int) -> Array:
    name = node.input_or_none(index)
    what = "scale" if index == 1 else "zero point"
    if name is None or name not in constants:
        raise unsupported(node, f"its {what} is not a constant", "use static quantization")
    return constants[name]


def _params(node: Node, scale: Array, zero: Array | None, shift: int, rank: int | None) -> QuantParams:
    if node.integer("block_size", 0) or scale.ndim > 1:
        raise unsupported(node, "it is quantized in blocks", "use one scale a tensor or a channel")
    scales = scale.astype(np.float64).reshape(-1)
    if not scales.size or not np.all(np.isfinite(scales) & (scales > 0)):
        bad = scales[~(np.isfinite(scales) & (scales > 0))]
        raise invalid(f"the scale of {node.op_type} {node.name!r}", bad[0] if bad.size else "empty", "must be above 0")
    zeros = np.zeros(scales.size, np.int64) if zero is None else zero.astype(np.int64).reshape(-1)
    if zeros.size != scales.size:
        raise invalid(
            f"the number of zero points of {node.name!r}", zeros.size, f"must be {scales.size}, as the scales"
        )
    axis = None if scales.size == 1 and scale.ndim == 0 else _axis(node, scales.size, scale.ndim, rank)
    return QuantParams(tuple(scales.tolist()), tuple(int(z) - shift for z in zeros), axis)


def _axis(node: Node, channels: int, scale_rank: int, rank: int | None) -> int | None:
    if channels == 1 and scale_rank <= 1:
        return None
    if rank is None:
        raise unsupported(node, "an activation has one scale a channel", "use one scale a tensor for activations")
    axis = node.integer("axis", 1)
    resolved = axis + rank if axis < 0 else axis
    if not 0 <= resolved < rank:
        raise invalid(f"the axis of {node.op_type} {node.name!r}", axis, f"must be -{rank} to {rank - 1}")
    return resolved


def quantize_constant(values: npt.NDArray[np.float64]) -> Constant:
    """Return real numbers as int8 with one symmetric scale: the largest magnitude is 127."""
    peak = float(np.max(np.abs(values), initial=0.0))
    scale = peak / 127.0 if peak > 0 else 1.0
    data = np.clip(np.rint(values / scale), -127, 127).astype(np.int8)
    return Constant(data, QuantType(DType.INT8, QuantParams((scale,), (0,))))
