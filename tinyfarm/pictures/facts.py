"""What the pictures are drawn from: a C library's manifest (schema tinyfarm.library/1)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Buffer:
    """A run of arena bytes that lives from layer `first` to layer `last`, both included."""

    name: str
    kind: str
    offset_bytes: int
    size_bytes: int
    first: int
    last: int

    @property
    def end_bytes(self) -> int:
        """The byte behind the last."""
        return self.offset_bytes + self.size_bytes


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer in execution order; `receptive_field_hw` and `step_hw` are None where it is no image any more.

    Both are rows and columns of the input; those of the output are columns and rows of it where it is `transposed`.
    `start_hw` is where the receptive field of the first value starts, in the padding perhaps; `read_hw` are the rows
    and columns [first, stop) that all values together depend on.
    """

    name: str
    op: str
    stage: str
    macs: int
    output_shape: tuple[int, ...]
    live_bytes: int
    receptive_field_hw: tuple[int, int] | None
    step_hw: tuple[float, float] | None
    start_hw: tuple[float, float] = (0.0, 0.0)
    read_hw: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    transposed: bool = False

    @property
    def image_hw(self) -> tuple[int, int] | None:
        """Rows and columns of the output, as the input has them, where it is an image of more than one pixel."""
        if len(self.output_shape) != 4 or self.output_shape[1:3] == (1, 1):
            return None
        rows, columns = self.output_shape[1:3]
        return (columns, rows) if self.transposed else (rows, columns)


@dataclass(frozen=True, slots=True)
class Patching:
    """Layers 0 to `last` over a grid of patches, and in a few words who says so."""

    grid: tuple[int, int]
    last: int
    words: str


@dataclass(frozen=True, slots=True)
class Facts:
    """A compiled network: sizes in bytes, layers, and every buffer of its arena.

    `patching` is that of its schedule, or where it has none what is told of another; None where nothing is.
    """

    name: str
    target: str
    kernels: str
    schedule: str
    macs: int
    arena_bytes: int
    bound_bytes: int
    weights_bytes: int
    tables_bytes: int
    input_shape: tuple[int, ...]
    layers: tuple[Layer, ...]
    buffers: tuple[Buffer, ...]
    patching: Patching | None = None
    schedule_reason: str = ""

    @property
    def constants_bytes(self) -> int:
        """Weights and tables in flash, without code."""
        return self.weights_bytes + self.tables_bytes

    @property
    def peak_layer(self) -> int:
        """The number of the layer with most bytes in use, the first of equals."""
        live = [layer.live_bytes for layer in self.layers]
        return live.index(max(live)) if live else 0

    def alive(self, layer: int) -> tuple[Buffer, ...]:
        """Every buffer that is in use while a layer runs, the oldest first."""
        return tuple(b for b in self.buffers if b.first <= layer <= b.last)

    def own_bytes(self, layer: int) -> tuple[tuple[Buffer, int], ...]:
        """Bytes of each buffer alive at a layer; a byte that an output shares with what it replaces counts once, as
        the older buffer's, so that all add up to the layer's live bytes.
        """
        alive = self.alive(layer)
        edges = sorted({edge for b in alive for edge in (b.offset_bytes, b.end_bytes)})
        owned = dict.fromkeys(range(len(alive)), 0)
        for low, high in itertools.pairwise(edges):
            covering = [i for i, b in enumerate(alive) if b.offset_bytes <= low and high <= b.end_bytes]
            if covering:
                owned[covering[0]] += high - low
        return tuple((alive[i], count) for i, count in owned.items())

    def tensor_bytes(self, layer: int) -> int:
        """Bytes in use at a layer beside scratch, which grows into what room there is."""
        return sum(count for buffer, count in self.own_bytes(layer) if buffer.kind != "scratch")


def facts_of(manifest: Mapping[str, Any]) -> Facts:
    """Return what a manifest says. Raises KeyError or TypeError where it is no manifest of this schema."""
    layers = tuple(_layer(layer) for layer in manifest["layers"])
    inputs = manifest["inputs"]
    return Facts(
        name=manifest["model_name"],
        target=manifest["target"],
        kernels=manifest["kernels"],
        schedule=manifest["schedule"],
        macs=manifest["macs"],
        arena_bytes=manifest["memory"]["arena"],
        bound_bytes=manifest["plan"]["lower_bound_bytes"],
        weights_bytes=manifest["weights_bytes"],
        tables_bytes=manifest["tables_bytes"],
        input_shape=tuple(manifest["image_shape"] or (inputs[0]["shape"] if inputs else ())),
        layers=layers,
        buffers=_buffers(manifest["layers"]),
        patching=_patching(manifest.get("patch_grid"), layers),
        schedule_reason=manifest["schedule_reason"],
    )


def _patching(grid: tuple[int, int] | None, layers: tuple[Layer, ...]) -> Patching | None:
    """Return the first stage of patches, up to its last image: sums of an image may end it, and stages follow them."""
    first = itertools.takewhile(lambda at: layers[at].stage == "patch", range(len(layers)))
    images = [at for at in first if layers[at].image_hw and layers[at].receptive_field_hw]
    return Patching((grid[0], grid[1]), images[-1], "as compiled") if grid and images else None


def _layer(layer: Mapping[str, Any]) -> Layer:
    sight = layer.get("sight")
    return Layer(
        name=layer["name"],
        op=layer["op"],
        stage=layer.get("stage", "per-layer"),
        macs=layer["macs"],
        output_shape=tuple(layer["output_shape"]),
        live_bytes=layer["live_bytes"],
        receptive_field_hw=(sight["receptive_field_hw"][0], sight["receptive_field_hw"][1]) if sight else None,
        step_hw=(sight["step_hw"][0], sight["step_hw"][1]) if sight else None,
        start_hw=(sight["start_hw"][0], sight["start_hw"][1]) if sight else (0.0, 0.0),
        read_hw=(_span(sight["read_hw"][0]), _span(sight["read_hw"][1])) if sight else ((0, 0), (0, 0)),
        transposed=bool(sight and sight["transposed"]),
    )


def _span(span: Sequence[int]) -> tuple[int, int]:
    return span[0], span[1]


def _buffers(layers: list[Mapping[str, Any]]) -> tuple[Buffer, ...]:
    """Join what each layer says of its buffers into lives: a buffer lives as long as layers in a row name it."""
    open_: dict[tuple[str, str, int, int], int] = {}
    found = []
    for index, layer in enumerate(layers):
        named = {(b["name"], b["kind"], b["offset_bytes"], b["size_bytes"]) for b in layer["buffers"]}
        ended = [key for key in open_ if key not in named]
        found += [Buffer(*key, open_.pop(key), index - 1) for key in ended]
        for b in layer["buffers"]:
            open_.setdefault((b["name"], b["kind"], b["offset_bytes"], b["size_bytes"]), index)
    found += [Buffer(*key, first, len(layers) - 1) for key, first in open_.items()]
    # as in the memory report, a byte that several kinds share is the input's first, then an activation's
    return tuple(sorted(found, key=lambda b: (_KINDS.index(b.kind), b.first, b.offset_bytes)))


_KINDS = ("input", "activation", "line_buffer", "scratch")
