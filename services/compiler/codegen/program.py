"""What code generation decides before any text is written: the calls of every layer and the constants they name.

Sizes are known without the values, so the estimator of a weight-free network reads them from the same program.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from services.compiler.kernels.source import KernelSource
from services.compiler.schedule.rows import Window
from services.compiler.schedule.schedule import StageKind

Values = npt.NDArray[np.generic]


class Section(Enum):
    """Which part of flash a constant counts to."""

    WEIGHTS = "weights"
    TABLE = "table"


class CType(Enum):
    """Element type of a constant array."""

    INT8 = "int8_t"
    INT16 = "int16_t"
    UINT16 = "uint16_t"
    INT32 = "int32_t"
    INT64 = "int64_t"
    UINT32 = "uint32_t"
    FLOAT32 = "float"

    @property
    def size_bytes(self) -> int:
        """Bytes of one element."""
        return {CType.INT8: 1, CType.INT16: 2, CType.UINT16: 2, CType.INT64: 8}.get(self, 4)


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
class Ring:
    """A ring of rows: how many it holds, the bytes of one, and which of them a turn touches first and how."""

    rows: int
    row_bytes: int
    window: Window

    @property
    def size_bytes(self) -> int:
        """Bytes of all rows."""
        return self.rows * self.row_bytes


@dataclass(frozen=True, slots=True)
class Patch:
    """A buffer for a patch of a tensor: bytes of its rows and columns, and the place in the stage of the layer that
    makes it.
    """

    row_bytes: int
    column_bytes: int
    maker: int


@dataclass(frozen=True, slots=True)
class ArenaRef:
    """A pointer into the arena, to a whole tensor, a ring of its rows or a patch of it."""

    offset_bytes: int
    ctype: CType = CType.INT8
    ring: Ring | None = None
    patch: Patch | None = None


@dataclass(frozen=True, slots=True)
class Symbol:
    """A function's name."""

    name: str


FieldValue = int | float | ArrayRef | Symbol | tuple[int, ...] | tuple[tuple[str, "FieldValue"], ...]
Fields = tuple[tuple[str, FieldValue], ...]


@dataclass(frozen=True, slots=True)
class RegionArg:
    """The rows and columns of a call: those of the tensor that the operator sweeps, for most its output."""

    rows: tuple[int, int]
    cols: tuple[int, int]


@dataclass(frozen=True, slots=True)
class KernelCall:
    """`function(&params, &region, pointers...)`; `fields` computes the parameter struct's initializer.

    `sources` are the generated files of the routines that the parameters name.
    """

    function: str
    params_type: str
    fields: Callable[[], Fields]
    arrays: tuple[ConstArray, ...]
    pointers: tuple[ArenaRef | ArrayRef, ...]
    region: RegionArg
    sources: tuple[KernelSource, ...] = ()


@dataclass(frozen=True, slots=True)
class Layer:
    """One operator as emitted: a function of its own. Beside per-layer stages it computes what it is asked for.

    `place` is its place in its stage.
    `pulls` is where the rows go that the caller is asked for, in the layer that asks.
    """

    index: int
    op_index: int
    calls: tuple[KernelCall, ...]
    kind: StageKind = StageKind.PER_LAYER
    pulls: ArenaRef | None = None
    place: int = 0

    @property
    def in_turns(self) -> bool:
        """Whether a call computes a part of the output."""
        return self.kind is not StageKind.PER_LAYER

    def arrays(self) -> tuple[ConstArray, ...]:
        """Every constant array of the layer once, in order of use."""
        found = [a for call in self.calls for a in call.arrays]
        found += [p.array for call in self.calls for p in call.pointers if isinstance(p, ArrayRef)]
        return tuple({a.suffix: a for a in found}.values())


@dataclass(frozen=True, slots=True)
class LayerTurn:
    """A layer computes a part of its output."""

    layer: int
    rows: tuple[int, int]
    cols: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Turns:
    """The layers [start, stop) run in these turns; in patches, all of them once for each."""

    start: int
    stop: int
    turns: tuple[LayerTurn, ...]
    kind: StageKind


@dataclass(frozen=True, slots=True)
class Program:
    """Every layer in execution order, and the turns of those that take any."""

    layers: tuple[Layer, ...]
    stages: tuple[Turns, ...] = ()

    def functions(self) -> tuple[str, ...]:
        """The kernels used, sorted."""
        return tuple(sorted({call.function for layer in self.layers for call in layer.calls}))

    def sources(self) -> tuple[KernelSource, ...]:
        """Every generated kernel file once, sorted by name."""
        found = {source.file: source for layer in self.layers for call in layer.calls for source in call.sources}
        return tuple(found[file] for file in sorted(found))

    def arrays(self, section: Section) -> tuple[ConstArray, ...]:
        """Every constant array of a section once, in order of use."""
        found = {a.suffix: a for layer in self.layers for a in layer.arrays() if a.section is section}
        return tuple(found.values())

    def regions(self) -> tuple[RegionArg, ...]:
        """Every region that is known before it runs once, in order of first use."""
        whole = (layer for layer in self.layers if not layer.in_turns)
        return tuple(dict.fromkeys(call.region for layer in whole for call in layer.calls))
