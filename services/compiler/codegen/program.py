"""What code generation decides before any text is written: the calls of every layer and the constants they name.

Sizes are known without the values, so the estimator of a weight-free network reads them from the same program.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.generic]


class Section(Enum):
    """Which part of flash a constant counts to."""

    WEIGHTS = "weights"
    TABLE = "table"


class CType(Enum):
    """Element type of a constant array."""

    INT8 = "int8_t"
    UINT16 = "uint16_t"
    INT32 = "int32_t"
    FLOAT32 = "float"

    @property
    def size_bytes(self) -> int:
        """Bytes of one element."""
        return {CType.INT8: 1, CType.UINT16: 2, CType.INT32: 4, CType.FLOAT32: 4}[self]


@dataclass(frozen=True, slots=True)
class ConstArray:
    """A constant array: its symbol is `<name>_<section>_<suffix>`; `values` computes the elements when text is due."""

    suffix: str
    section: Section
    ctype: CType
    count: int
    values: Callable[[], Values]

    @property
    def size_bytes(self) -> int:
        """Bytes in flash."""
        return self.count * self.ctype.size_bytes


@dataclass(frozen=True, slots=True)
class ArrayRef:
    """A pointer to a constant array of the same layer."""

    array: ConstArray


@dataclass(frozen=True, slots=True)
class ArenaRef:
    """A pointer into the arena."""

    offset_bytes: int
    ctype: CType = CType.INT8


FieldValue = int | float | ArrayRef | tuple[int, ...] | tuple[tuple[str, "FieldValue"], ...]
Fields = tuple[tuple[str, FieldValue], ...]


@dataclass(frozen=True, slots=True)
class KernelSource:
    """A kernel's C file and the further files that it needs."""

    file: str
    text: str


@dataclass(frozen=True, slots=True)
class RegionArg:
    """The output rows and columns of a call."""

    rows: tuple[int, int]
    cols: tuple[int, int]


@dataclass(frozen=True, slots=True)
class KernelCall:
    """`function(&params, &region, pointers...)`; `fields` computes the parameter struct's initializer."""

    function: str
    params_type: str
    fields: Callable[[], Fields]
    arrays: tuple[ConstArray, ...]
    pointers: tuple[ArenaRef | ArrayRef, ...]
    region: RegionArg


@dataclass(frozen=True, slots=True)
class Layer:
    """One operator as emitted: a function of its own."""

    index: int
    op_index: int
    calls: tuple[KernelCall, ...]

    def arrays(self) -> tuple[ConstArray, ...]:
        """Every constant array of the layer once, in order of use."""
        found = [a for call in self.calls for a in call.arrays]
        found += [p.array for call in self.calls for p in call.pointers if isinstance(p, ArrayRef)]
        return tuple({a.suffix: a for a in found}.values())


@dataclass(frozen=True, slots=True)
class Program:
    """Every layer in execution order."""

    layers: tuple[Layer, ...]

    def functions(self) -> tuple[str, ...]:
        """The kernels used, sorted."""
        return tuple(sorted({call.function for layer in self.layers for call in layer.calls}))

    def regions(self) -> tuple[RegionArg, ...]:
        """Every region once, in order of first use."""
        return tuple(dict.fromkeys(call.region for layer in self.layers for call in layer.calls))
