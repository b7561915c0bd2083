"""Tensors of the graph: shape, element type, quantization and, for constants, the data."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from math import isfinite, prod

import numpy as np
import numpy.typing as npt

TensorId = int

_SHOWN_CHARACTERS = 80


def quoted(name: str) -> str:
    """Return a name from a model as messages show it: quoted, escaped, and shortened in the middle."""
    half = _SHOWN_CHARACTERS // 2
    return repr(name if len(name) <= _SHOWN_CHARACTERS else f"{name[:half]}...{name[-half:]}")


class DType(Enum):
    """Element type. INT4 data is held one element an int8 in numpy and packed two a byte in flash."""

    INT4 = "int4"
    INT8 = "int8"
    UINT8 = "uint8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    FLOAT32 = "float32"
    BOOL = "bool"

    __hash__ = object.__hash__  # members are single objects; that of Enum is slow

    @property
    def bits(self) -> int:
        """Bits one element takes in memory."""
        return _BITS[self]

    @property
    def is_float(self) -> bool:
        """Whether the elements are floating point."""
        return self is DType.FLOAT32

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The numpy type that holds the elements (int8 for INT4)."""
        return np.dtype("int8" if self is DType.INT4 else self.value)

    @property
    def value_range(self) -> tuple[int, int]:
        """Smallest and largest integer of the type; ValueError for float types, which have none."""
        if self.is_float:
            raise ValueError(f"{self.value} has no integer range")
        signed = self not in (DType.UINT8, DType.BOOL)
        return (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1) if signed else (0, (1 << self.bits) - 1)


_BITS = {
    DType.INT4: 4,
    DType.INT8: 8,
    DType.UINT8: 8,
    DType.INT16: 16,
    DType.INT32: 32,
    DType.INT64: 64,
    DType.FLOAT32: 32,
    DType.BOOL: 8,
}


@dataclass(frozen=True, slots=True)
class QuantParams:
    """Affine quantization, real = scale * (q - zero_point); one entry, or one for each index of `axis`.

    Source: TensorFlow Lite 8-bit quantization specification.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None

    def __post_init__(self) -> None:
        if not self.scale or len(self.scale) != len(self.zero_point):
            raise ValueError(
                f"{len(self.scale)} scales and {len(self.zero_point)} zero points: need as many, at least 1"
            )
        if bad := [s for s in self.scale if not (isfinite(s) and s > 0)]:
            raise ValueError(f"scale is {bad[0]}: must be finite and above 0")
        if self.axis is None and len(self.scale) != 1:
            raise ValueError(f"{len(self.scale)} scales without an axis: per-tensor quantization has 1")

    @property
    def per_channel(self) -> bool:
        """Whether there is one scale a channel."""
        return self.axis is not None


@dataclass(frozen=True, slots=True)
class Tensor:
    """One value of the graph. Activations are NHWC with batch 1; conv weights OHWI; depthwise weights 1HWO.

    `data` is set for constants; `is_constant` alone (no data) marks the weights of a weight-free network.
    """

    name: str
    shape: tuple[int, ...]
    dtype: DType
    quant: QuantParams | None = None
    data: npt.NDArray[np.generic] | None = field(default=None, compare=False, repr=False)
    is_constant: bool = False

    def __post_init__(self) -> None:
        if any(d <= 0 for d in self.shape):
            raise ValueError(f"tensor {quoted(self.name)} has shape {self.shape}: every dimension must be at least 1")
        if self.data is not None:
            if not self.is_constant:
                raise ValueError(f"tensor {quoted(self.name)} has data but is not a constant")
            if self.data.shape != self.shape or self.data.dtype != self.dtype.numpy:
                raise ValueError(
                    f"tensor {quoted(self.name)} has data {self.data.dtype}{list(self.data.shape)}: "
                    f"must be {self.dtype.numpy}{list(self.shape)}"
                )
            if self.dtype is DType.INT4:
                _check_int4(self.name, self.data)

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Bytes in memory; INT4 is packed two elements a byte, rounded up."""
        return (prod(self.shape) * _BITS[self.dtype] + 7) // 8

    @property
    def pixel_bytes(self) -> int:
        """Bytes of all channels of one row and column of an image [1, H, W, C]."""
        return self.size_bytes // (self.shape[1] * self.shape[2])


def _check_int4(name: str, data: npt.NDArray[np.generic]) -> None:
    """Raise ValueError for a value that packing would change."""
    low, high = DType.INT4.value_range
    smallest, largest = int(data.min(initial=0)), int(data.max(initial=0))
    if smallest < low or largest > high:
        raise ValueError(f"tensor {quoted(name)} has values from {smallest} to {largest}: must be {low} to {high}")
