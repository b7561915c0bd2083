"""What a library takes on a board: exact instructions and modelled cycles, latency and energy, in all and by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from services.common.targets import Target
from services.evaluator.boards.board import Run
from services.evaluator.image import Image
from services.evaluator.manifest import Manifest
from services.evaluator.measure.energy import Energy, energy
from services.evaluator.measure.latency import Counter, Timing, Work


@dataclass(frozen=True, slots=True)
class LayerFigures:
    """One layer: instructions exact, cycles modelled."""

    index: int
    name: str
    op: str
    macs: int
    output_shape: tuple[int, ...]
    live_bytes: int
    instructions: int
    core_cycles: float
    cycles: float


@dataclass(frozen=True, slots=True)
class Performance:
    """Figures of the slowest sample that ran; `cycles_low` and `cycles_high` bound modelled cycles where known.

    `core_cycles` are those of a core that never waits for flash; `cycles` have the waits that the target states.
    """

    instructions: int
    core_cycles: float
    cycles: float
    cycles_kind: Literal["modelled", "measured"]
    cycles_low: float | None
    cycles_high: float | None
    cycles_source: str
    latency_us: float
    energy: Energy | None
    glue_instructions: int
    layers: tuple[LayerFigures, ...]
    simulated_mips: float


def performance(manifest: Manifest, image: Image, runs: tuple[Run, ...]) -> Performance | None:
    """Return the figures of the slowest of some runs; None where the board does not count what runs."""
    profiles = [run.profile for run in runs if run.profile is not None]
    if not profiles:
        return None
    counter = Counter(image)
    timings = [counter.timing(profile) for profile in profiles]
    slowest = max(timings, key=lambda timing: timing.total.cycles)
    band = image.target.timing
    cycles = slowest.total.cycles
    seconds = sum(profile.seconds for profile in profiles)
    return Performance(
        instructions=slowest.total.instructions,
        core_cycles=slowest.total.core_cycles,
        cycles=cycles,
        cycles_kind="modelled",
        cycles_low=cycles * band.low if band.low else None,
        cycles_high=cycles * band.high if band.high else None,
        cycles_source=band.text,
        latency_us=_latency_us(image.target, slowest.total),
        energy=energy(image.target, cycles),
        glue_instructions=slowest.glue.instructions,
        layers=_layers(manifest, slowest),
        simulated_mips=sum(timing.total.instructions for timing in timings) / max(seconds, 1e-9) / 1e6,
    )


def _latency_us(target: Target, work: Work) -> float:
    return work.cycles * 1e6 / target.clock_hz


def _layers(manifest: Manifest, timing: Timing) -> tuple[LayerFigures, ...]:
    return tuple(
        LayerFigures(
            index=layer.index,
            name=layer.name,
            op=layer.op,
            macs=layer.macs,
            output_shape=layer.output_shape,
            live_bytes=layer.live_bytes,
            instructions=work.instructions,
            core_cycles=work.core_cycles,
            cycles=work.cycles,
        )
        for layer, work in zip(manifest.layers, timing.layers, strict=True)
    )
