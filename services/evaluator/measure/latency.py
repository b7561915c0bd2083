"""Exact instruction counts and modelled cycles from the blocks that ran, for each layer and in all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.evaluator.boards.profile import BlockCount, Profile
from services.evaluator.cores.decode import Instruction, decode
from services.evaluator.cores.model import CycleModel, cycle_model
from services.evaluator.errors import BoardError
from services.evaluator.image import Image


@dataclass(frozen=True, slots=True)
class Work:
    """Instructions (exact) and cycles (modelled): the core's own, and those that it waits for flash."""

    instructions: int
    core_cycles: float
    wait_cycles: float = 0.0

    @property
    def cycles(self) -> float:
        """All cycles."""
        return self.core_cycles + self.wait_cycles


@dataclass(frozen=True, slots=True)
class Timing:
    """Work of one invoke: `layers[n]` is the manifest's layer n, `glue` is invoke's own body; all add up to `total`."""

    total: Work
    glue: Work
    layers: tuple[Work, ...]


class Counter:
    """Turns profiles of one image into work, by the core's own model unless told another; a block is decoded once."""

    def __init__(self, image: Image, model: CycleModel | None = None) -> None:
        self._image = image
        self._model = model or cycle_model(image.target.core)
        self._costs: dict[tuple[int, int], tuple[int, float]] = {}

    def timing(self, profile: Profile) -> Timing:
        """Return the work of one profile."""
        count = len(self._image.layers) + 1
        instructions, cycles = [0] * count, [0.0] * count
        for block in profile.blocks:
            length, cost = self._cost(block)
            instructions[block.layer] += block.count * length
            seldom = min(block.taken, block.count - block.taken)
            cycles[block.layer] += block.count * cost + block.taken * self._model.taken_cycles
            cycles[block.layer] += seldom * self._model.mispredicted_cycles
        waits = self._waits(profile, count)
        works = tuple(Work(*work) for work in zip(instructions, cycles, waits, strict=True))
        return Timing(Work(sum(instructions), sum(cycles), sum(waits)), works[0], works[1:])

    def _waits(self, profile: Profile, count: int) -> list[float]:
        """Return the cycles that each layer waits for flash, where the target says what a miss costs."""
        flash = self._image.target.flash_waits
        if flash is None or not profile.misses:
            return [0.0] * count
        return [float((m.instruction + m.data) * flash.cycles_per_miss) for m in profile.misses]

    def _cost(self, block: BlockCount) -> tuple[int, float]:
        key = (block.address, block.size_bytes)
        if key not in self._costs:
            self._costs[key] = _price(self._image, block, self._model.block_cycles)
        return self._costs[key]


def _price(
    image: Image, block: BlockCount, block_cycles: Callable[[tuple[Instruction, ...]], float]
) -> tuple[int, float]:
    for segment in image.segments:
        start = block.address - segment.address
        if start >= 0 and start + block.size_bytes <= len(segment.data):
            found = decode(segment.data[start : start + block.size_bytes], block.address)
            return len(found), block_cycles(found)
    raise BoardError(
        f"a block ran at {block.address:#010x}, outside the image", subject="block", value=hex(block.address)
    )
