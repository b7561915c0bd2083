"""Exact instruction counts and modelled cycles from the blocks that ran, for each layer and in all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.evaluator.boards.profile import BlockCount, Profile
from services.evaluator.cores.decode import Instruction, decode
from services.evaluator.cores.model import cycle_model
from services.evaluator.errors import BoardError
from services.evaluator.image import Image


@dataclass(frozen=True, slots=True)
class Work:
    """Instructions (exact) and cycles (modelled)."""

    instructions: int
    cycles: float


@dataclass(frozen=True, slots=True)
class Timing:
    """Work of one invoke: `layers[n]` is the manifest's layer n, `glue` is invoke's own body; all add up to `total`."""

    total: Work
    glue: Work
    layers: tuple[Work, ...]


class Counter:
    """Turns profiles of one image into work; every block is decoded once."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._model = cycle_model(image.target.core)
        self._costs: dict[tuple[int, int], tuple[int, float]] = {}

    def timing(self, profile: Profile) -> Timing:
        """Return the work of one profile."""
        count = len(self._image.layers) + 1
        instructions, cycles = [0] * count, [0.0] * count
        for block in profile.blocks:
            length, cost = self._cost(block)
            instructions[block.layer] += block.count * length
            cycles[block.layer] += block.count * cost + block.taken * self._model.taken_cycles
        waits = self._image.target.flash_waits
        for layer, misses in enumerate(profile.misses if waits else ()):
            cycles[layer] += (misses.instruction + misses.data) * (waits.cycles_per_miss if waits else 0)
        works = tuple(Work(i, c) for i, c in zip(instructions, cycles, strict=True))
        return Timing(Work(sum(instructions), sum(cycles)), works[0], works[1:])

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
