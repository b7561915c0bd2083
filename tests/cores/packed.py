"""Many compiled graphs in one firmware image, run one by one on a simulated core: a build costs more than a run.

The arena begins with a word that picks a network and a span of its layers. The network's own arena lies between guard
bytes, so that a test sees every byte that a layer wrote.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from services.common.targets import load_target
from services.compiler.pipeline import Compiled
from services.evaluator.boards.board import Region, Write
from services.evaluator.boards.unicorn import UnicornBoard
from services.evaluator.errors import ProgramFault
from services.evaluator.image import build_image
from services.evaluator.library import CLibrary, read_library
from services.evaluator.manifest import LayerSpec, Manifest, MemorySplit, TensorSpec
from services.evaluator.toolchain import Toolchain

Array = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]

CACHE = Path(__file__).parents[2] / "build" / "test-cache"
_KERNELS = Path(__file__).parents[2] / "services" / "compiler" / "kernels"
_WRITTEN_BY_HAND = frozenset(
    p.name for folder in ("portable", "thumb1/sources", "thumb2/sources") for p in (_KERNELS / folder).iterdir()
)
_HEAD_BYTES, _GUARD_BYTES = 16, 64
_START = _HEAD_BYTES + _GUARD_BYTES
_BUDGET = 2_000_000_000
# what fits every board's flash, the smallest of which has 1 MiB; code of a network beside the shared kernels
_PACK_BYTES, _PACK_NETWORKS, _CODE_BYTES = 768 * 1024, 30, 8 * 1024


def packs(compiled: Sequence[Compiled]) -> Iterator[range]:
    """Cut the networks into runs whose constants and code fit the flash of every board."""
    first, used = 0, 0
    for number, one in enumerate(compiled):
        bytes_more = one.manifest.weights_bytes + one.manifest.tables_bytes + _CODE_BYTES
        if number > first and (used + bytes_more > _PACK_BYTES or number - first == _PACK_NETWORKS):
            yield range(first, number)
            first, used = number, 0
        used += bytes_more
    yield range(first, len(compiled))


class PackedBoard:
    """A simulated board with all the networks in its flash: compiled for one target, under different names.

    A run fails if a byte outside the network's arena is written; by layer also if a layer writes outside its outputs
    and scratch. Bytes that hold no value are noise before the run, by layer before every layer.
    """

    def __init__(self, compiled: Sequence[Compiled]) -> None:
        libraries = [read_library(one.library_zip) for one in compiled]
        self._manifests = [library.manifest for library in libraries]
        self._noise = np.random.default_rng(0)
        target = load_target(self._manifests[0].target)
        image = build_image(_packed(libraries), target, Toolchain("zig", CACHE))
        self._board = UnicornBoard(CACHE, 120)
        self._board.flash(image)

    def run(self, number: int, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Return the outputs of one invoke."""
        manifest = self._manifests[number]
        arena = self._fresh(manifest, inputs)
        after = self._exchange(number, arena, (-1, 0))
        _same_guards(arena, after, manifest)
        return _outputs(manifest, after[_START:])

    def run_by_layer(self, number: int, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Return the outputs, layer after layer, each alone in the arena with the values that are still wanted."""
        manifest = self._manifests[number]
        arena = self._fresh(manifest, inputs)
        for index, layer in enumerate(manifest.layers):
            born = _born(manifest, index)
            kept = _mask(manifest, [b for b in _spans(layer) if b not in born])
            arena = np.where(kept, arena, self._noise.integers(0, 256, arena.size, dtype=np.uint8))
            after = self._exchange(number, arena, (index, index + 1))
            wrong = (arena != after) & ~_mask(manifest, born)
            assert not wrong.any(), (
                f"layer {index} ({layer.op}) wrote at {(np.flatnonzero(wrong) - _START)[:8]}, may write {born}"
            )
            arena = after
        return _outputs(manifest, arena[_START:])

    def _fresh(self, manifest: Manifest, inputs: Sequence[Array]) -> Bytes:
        size = _START + manifest.memory.arena + _GUARD_BYTES
        arena = self._noise.integers(0, 256, size, dtype=np.uint8)
        for spec, values in zip(manifest.inputs, inputs, strict=True):
            raw = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            assert raw.size == spec.size_bytes, spec
            arena[_START + spec.offset_bytes :][: raw.size] = raw
        return arena

    def _exchange(self, number: int, arena: Bytes, layers: tuple[int, int]) -> Bytes:
        """Run the layers on the arena, in which the head is set, and return it as it is then."""
        arena[:_HEAD_BYTES] = np.frombuffer(np.array([number, *layers, 0], "<i4").tobytes(), np.uint8)
        try:
            run = self._board.run((Write(0, arena.tobytes()),), (Region(0, arena.size),), _BUDGET)
        except ProgramFault:
            self._board.reset()
            raise
        return np.frombuffer(run.outputs[0], np.uint8).copy()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._board.close()


def _whole_layers(manifest: Manifest) -> list[str]:
    """The functions that run a layer at once; those of a network that is streamed take turns, and are not called."""
    return [layer.symbol for layer in manifest.layers] if manifest.schedule == "per-layer" else []


# what a layer reads and writes
Span = tuple[int, int, str]


def _spans(layer: LayerSpec) -> list[Span]:
    return [(b.offset_bytes, b.offset_bytes + b.size_bytes, b.name) for b in layer.buffers]


def _born(manifest: Manifest, index: int) -> list[Span]:
    """The buffers that begin to live at a layer: its outputs and scratch."""
    layer = manifest.layers[index]
    before = _spans(manifest.layers[index - 1]) if index else []
    inputs = {b.name for b in layer.buffers if b.kind == "input"}
    return [s for s in _spans(layer) if s not in before and s[2] not in inputs]


def _mask(manifest: Manifest, spans: Sequence[Span]) -> npt.NDArray[np.bool_]:
    mask = np.zeros(_START + manifest.memory.arena + _GUARD_BYTES, bool)
    for start, stop, _ in spans:
        mask[_START + start : _START + stop] = True
    return mask


def _same_guards(before: Bytes, after: Bytes, manifest: Manifest) -> None:
    outside = np.ones(before.size, bool)
    outside[_START : _START + manifest.memory.arena] = False
    assert (before[outside] == after[outside]).all(), f"{manifest.name} wrote outside its arena"


def _outputs(manifest: Manifest, arena: Bytes) -> tuple[Array, ...]:
    return tuple(_values(spec, arena) for spec in manifest.outputs)


def _values(spec: TensorSpec, arena: Bytes) -> Array:
    raw = arena[spec.offset_bytes : spec.offset_bytes + spec.size_bytes].tobytes()
    return np.frombuffer(raw, spec.dtype).reshape(spec.shape)


# the library of libraries
def _packed(libraries: Sequence[CLibrary]) -> CLibrary:
    files: dict[str, bytes] = {}
    for library in libraries:
        for name, text in library.files:
            assert files.setdefault(name, text) == text, f"two files named {name}"
    sources = dict.fromkeys(s for library in libraries for s in library.manifest.sources)
    together = [s for s in sources if s not in _WRITTEN_BY_HAND]
    arena = _START + max(library.manifest.memory.arena for library in libraries) + _GUARD_BYTES
    files["packed.h"] = f"#define PACKED_ARENA_BYTES {arena}u\n#define PACKED_ARENA_ALIGN 16u\n".encode()
    files["packed.h"] += b"int packed_invoke(void *arena);\n"
    files["packed.c"] = _dispatcher([library.manifest for library in libraries], together).encode()
    manifest = libraries[0].manifest.model_copy(
        update={
            "name": "packed",
            "header": "packed.h",
            "sources": ("packed.c", *(s for s in sources if s in _WRITTEN_BY_HAND)),
            "memory": MemorySplit(input=arena, activations=0, line_buffers=0, scratch=0, arena=arena),
            "layers": tuple(layer for library in libraries for layer in library.manifest.layers),
            "twin": None,
        }
    )
    return CLibrary(manifest, tuple(sorted(files.items())))


def _dispatcher(manifests: Sequence[Manifest], together: Sequence[str]) -> str:
    """C that runs a network, or some of its layers: it includes their files, where layers are static functions."""
    cases = "".join(
        f"    case {number}:\n        if (head[1] < 0) {{ return {m.name}_invoke(own); }}\n"
        f"        for (layer = head[1]; layer < head[2]; ++layer) {{ {m.name}_layers[layer](own); }}\n"
        f"        return 0;\n"
        for number, m in enumerate(manifests)
    )
    tables = "".join(
        f"static packed_layer *const {m.name}_layers[] = {{{', '.join(_whole_layers(m)) or '0'}}};\n" for m in manifests
    )
    return (
        "".join(f'#include "{name}"\n' for name in together)
        + '#include "packed.h"\ntypedef void packed_layer(uint8_t *arena);\n'
        + tables
        + "int packed_invoke(void *arena)\n{\n    const int32_t *head = arena;\n    int32_t layer;\n"
        + f"    uint8_t *own = (uint8_t *)arena + {_START};\n    switch (head[0]) {{\n{cases}    default:\n"
        + "        return 1;\n    }\n}\n"
    )
