"""SRAM and flash by what they are for, and whether they fit the target. All exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from services.evaluator.image import MIN_STACK_BYTES, Image
from services.evaluator.manifest import LayerSpec, Manifest


@dataclass(frozen=True, slots=True)
class SramSplit:
    """SRAM in bytes at the peak step; the first four add up to `arena`, and arena, static and stack to `total`.

    `stack` is the high water of the painted stack, None when nothing ran (then it is missing in `total`).
    """

    input: int
    activations: int
    line_buffers: int
    scratch: int
    arena: int
    static: int
    stack: int | None
    total: int


@dataclass(frozen=True, slots=True)
class FlashSplit:
    """Flash in bytes, without the measuring harness."""

    code: int
    weights: int
    tables: int
    total: int


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether one memory suffices: `needed` holds the harness too, and for SRAM the least stack that is kept."""

    memory: Literal["flash", "sram"]
    needed: int
    available: int
    layer: str | None
    layer_index: int | None = None

    @property
    def ok(self) -> bool:
        """True when it fits."""
        return self.needed <= self.available


def sram_split(manifest: Manifest, image: Image, stack_bytes: int | None) -> SramSplit:
    """Return the manifest's arena split with the image's static data and the stack that was seen."""
    memory = manifest.memory
    return SramSplit(
        input=memory.input,
        activations=memory.activations,
        line_buffers=memory.line_buffers,
        scratch=memory.scratch,
        arena=memory.arena,
        static=image.sizes.static,
        stack=stack_bytes,
        total=memory.arena + image.sizes.static + (stack_bytes or 0),
    )


def flash_split(image: Image) -> FlashSplit:
    """Return the flash of code, weights and tables as linked."""
    sizes = image.sizes
    return FlashSplit(sizes.code, sizes.weights, sizes.tables, sizes.flash)


def fits(manifest: Manifest, image: Image) -> tuple[Fit, Fit]:
    """Return whether flash and SRAM suffice, naming the layer at the SRAM's peak."""
    sizes, target = image.sizes, image.target
    sram = max(sizes.arena, manifest.memory.arena) + sizes.static + sizes.harness_static + MIN_STACK_BYTES
    peak = peak_layer(manifest)
    return (
        Fit("flash", image.code_end - target.flash.base, target.flash.size_bytes, None),
        Fit("sram", sram, target.sram.size_bytes, peak.name if peak else None, peak.index if peak else None),
    )


def peak_layer(manifest: Manifest) -> LayerSpec | None:
    """Return the layer at the arena's peak, None where the manifest names none."""
    return next((layer for layer in manifest.layers if layer.index == manifest.peak_layer), None)
