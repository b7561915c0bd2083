"""The compile result: a zip of C files and their manifest, the same bytes for the same input."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass

SCHEMA = "tinyfarm.library/1"
# For readers: no name that *.c would take for the library's.
README, EXAMPLE = "README.txt", "main.c.example"
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)
# Text of weights hardly shrinks: the default level takes eight times as long and leaves a tenth less.
_COMPRESSION = 2


@dataclass(frozen=True, slots=True)
class IoTensor:
    """An input or output: `dtype` and `shape` are what the C code takes, `model_...` what the model file declares.

    The host brings the axes of an input in the C code's order, C array = model array.transpose(permutation), and
    those of an output back, model array = C array.transpose(permutation). None: the order is the same.
    An input that is `pulled` is with the caller, who is asked for its rows; its offset is 0.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None
    offset_bytes: int
    size_bytes: int
    model_dtype: str
    model_shape: tuple[int, ...]
    permutation: tuple[int, ...] | None
    pulled: bool = False


@dataclass(frozen=True, slots=True)
class MemoryBytes:
    """The arena at its peak step; the first four add up to `arena`."""

    input: int
    activations: int
    line_buffers: int
    scratch: int
    arena: int


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """How good the arena plan is: no plan can be below the bound."""

    lower_bound_bytes: int
    gap_bytes: int
    algorithm: str


@dataclass(frozen=True, slots=True)
class BufferFacts:
    """A buffer that is live at a layer."""

    name: str
    kind: str
    offset_bytes: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SightFacts:
    """Rows and columns of the image that one value of a layer depends on, and those from one value to the next; where
    those of the first value start, which may lie in the padding; and the rows and columns that all values together
    depend on, [first, stop) each.

    Where the layer's output is `transposed`, its rows are columns of the image.
    """

    receptive_field_hw: tuple[int, int]
    step_hw: tuple[float, float]
    start_hw: tuple[float, float]
    read_hw: tuple[tuple[int, int], tuple[int, int]]
    transposed: bool


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """One layer: its C function, the kind of its stage, work, output and memory; what it sees, if it is an image."""

    index: int
    name: str
    op: str
    symbol: str
    macs: int
    output_shape: tuple[int, ...]
    live_bytes: int
    buffers: tuple[BufferFacts, ...]
    stage: str
    sight: SightFacts | None


@dataclass(frozen=True, slots=True)
class TwinFacts:
    """The same network with portable kernels, for machines that cannot run the target's: files and interface."""

    name: str
    header: str
    sources: tuple[str, ...]
    inputs: tuple[IoTensor, ...]
    outputs: tuple[IoTensor, ...]


@dataclass(frozen=True, slots=True)
class LibraryManifest:
    """What is in the library, as `manifest.json` says it; `patch_grid` are the rows and columns of patches, if any.

    `image_shape` is that of the image that the layers' sights are told of: the only input, or what it is reshaped to.
    """

    name: str
    model_name: str
    tool_version: str
    target: str
    core: str
    kernels: str
    interface: str
    schedule: str
    schedule_reason: str
    patch_grid: tuple[int, int] | None
    image_shape: tuple[int, ...] | None
    macs: int
    header: str
    sources: tuple[str, ...]
    inputs: tuple[IoTensor, ...]
    outputs: tuple[IoTensor, ...]
    memory: MemoryBytes
    peak_layer: int
    plan: PlanFacts
    weights_bytes: int
    tables_bytes: int
    layers: tuple[LayerFacts, ...]
    twin: TwinFacts | None = None
    schema: str = SCHEMA

    def to_json(self) -> str:
        """Return the manifest as JSON text; the model's own names are escaped to ASCII."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, allow_nan=False) + "\n"


def pack_library(manifest: LibraryManifest, files: Mapping[str, str]) -> bytes:
    """Return the zip: sorted names, fixed times, `manifest.json` beside the C files."""
    contents = {**files, "manifest.json": manifest.to_json()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(contents):
            info = zipfile.ZipInfo(name, _FIXED_TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, contents[name].encode(), compresslevel=_COMPRESSION)
    return buffer.getvalue()
