"""manifest.json of a C library, schema tinyfarm.library/1, checked strictly."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

DType = Literal["int8", "uint8", "int16", "int32", "float32"]
ITEM_BYTES: dict[DType, int] = {"int8": 1, "uint8": 1, "int16": 2, "int32": 4, "float32": 4}
_Bytes = Annotated[int, Field(ge=0, lt=2**32)]
_Symbol = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class TensorSpec(_Part):
    """An input or output: what the C code wants and where in the arena, and what the model file declares.

    `permutation` are the axes that the host brings in order: C array = model array.transpose(permutation) for an
    input, model array = C array.transpose(permutation) for an output. An input that is `pulled` lies with the caller.
    """

    name: str
    shape: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False)]
    dtype: DType
    scale: float | None = None
    zero_point: int | None = None
    offset_bytes: _Bytes
    size_bytes: _Bytes
    model_dtype: DType
    model_shape: Annotated[tuple[Annotated[int, Field(ge=1)], ...] | None, Field(strict=False)] = None
    permutation: Annotated[tuple[Annotated[int, Field(ge=0)], ...] | None, Field(strict=False)] = None
    pulled: bool = False

    @property
    def elements(self) -> int:
        """Number of elements of one sample."""
        return math.prod(self.shape)

    @property
    def declared(self) -> tuple[int, ...]:
        """The shape in the model file."""
        return self.model_shape or self.shape

    @property
    def sample(self) -> tuple[int, ...]:
        """The shape in the model file without the batch of 1."""
        return self.declared[1:] if self.declared[0] == 1 else self.declared


class MemorySplit(_Part):
    """The arena's bytes at its peak step; the first four add up to `arena`."""

    input: _Bytes
    activations: _Bytes
    line_buffers: _Bytes
    scratch: _Bytes
    arena: _Bytes


class BufferSpec(_Part):
    """A buffer that lives while a layer runs."""

    name: str
    kind: Literal["input", "activation", "line_buffer", "scratch"]
    offset_bytes: _Bytes
    size_bytes: _Bytes


class LayerSpec(_Part):
    """One layer: its C function's symbol and what it needs."""

    index: int
    name: str
    op: str
    symbol: _Symbol
    macs: Annotated[int, Field(ge=0)]
    output_shape: Annotated[tuple[int, ...], Field(strict=False)]
    live_bytes: _Bytes
    buffers: Annotated[tuple[BufferSpec, ...], Field(strict=False)] = ()


class TwinSpec(_Part):
    """The same network with portable kernels, for this machine: its files and where its inputs and outputs lie."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    header: str
    sources: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    inputs: Annotated[tuple[TensorSpec, ...], Field(strict=False, min_length=1)]
    outputs: Annotated[tuple[TensorSpec, ...], Field(strict=False, min_length=1)]


class Manifest(_Part):
    """manifest.json of a C library, schema tinyfarm.library/1."""

    schema_: Annotated[Literal["tinyfarm.library/1"], Field(alias="schema")]
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    model_name: str
    tool_version: str
    target: str
    core: str
    kernels: str
    interface: Literal["int8", "float"]
    schedule: str
    schedule_reason: str = ""
    macs: Annotated[int, Field(ge=0)]
    header: str
    sources: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    inputs: Annotated[tuple[TensorSpec, ...], Field(strict=False, min_length=1)]
    outputs: Annotated[tuple[TensorSpec, ...], Field(strict=False, min_length=1)]
    memory: MemorySplit
    peak_layer: int
    weights_bytes: _Bytes
    tables_bytes: _Bytes
    layers: Annotated[tuple[LayerSpec, ...], Field(strict=False)]
    twin: TwinSpec | None = None

    @property
    def pulled(self) -> TensorSpec | None:
        """The input that the caller keeps, if there is one: the only one then."""
        return next((spec for spec in self.inputs if spec.pulled), None)

    def for_host(self) -> Manifest:
        """Return the manifest of what this machine can run: the twin's files, if the library has a twin."""
        if self.twin is None:
            return self
        part = {field: getattr(self.twin, field) for field in TwinSpec.model_fields}
        return self.model_copy(update={**part, "twin": None})
