"""Random architectures, mutation and crossover. The generator is an argument: the same seed, the same choice."""

from __future__ import annotations

from random import Random
from typing import TypeVar

from services.search.space.architecture import Architecture, Block, Stage
from services.search.space.image import ImageSpace
from services.search.space.stages import StageSpace

T = TypeVar("T")


def sample(space: ImageSpace, random: Random) -> Architecture:
    """Return an architecture with every choice drawn uniformly."""
    stages = tuple(_sample_stage(s, random) for s in space.stages)
    return Architecture(random.choice(space.resolutions), stages)


def mutate(space: ImageSpace, parent: Architecture, probability: float, random: Random) -> Architecture:
    """Return the parent with each choice drawn anew with the given probability."""

    def drawn(options: tuple[T, ...], current: T) -> T:
        return random.choice(options) if random.random() < probability else current

    def block(options: StageSpace, stage: Stage, index: int) -> Block:
        # A block the parent does not have (its depth grew) is drawn whole.
        if index >= len(stage.blocks):
            return _sample_block(options, random)
        current = stage.blocks[index]
        return Block(drawn(options.kernels, current.kernel), drawn(options.expansions, current.expansion))

    def stage(options: StageSpace, current: Stage) -> Stage:
        depth = drawn(options.depths, len(current.blocks))
        return Stage(drawn(options.widths, current.width), tuple(block(options, current, i) for i in range(depth)))

    stages = tuple(stage(o, c) for o, c in zip(space.stages, parent.stages, strict=True))
    return Architecture(drawn(space.resolutions, parent.resolution), stages)


def cross(mother: Architecture, father: Architecture, random: Random) -> Architecture:
    """Return a child with the resolution and each whole stage from one parent or the other."""
    stages = tuple(random.choice(pair) for pair in zip(mother.stages, father.stages, strict=True))
    return Architecture(random.choice((mother.resolution, father.resolution)), stages)


def _sample_stage(space: StageSpace, random: Random) -> Stage:
    depth = random.choice(space.depths)
    return Stage(random.choice(space.widths), tuple(_sample_block(space, random) for _ in range(depth)))


def _sample_block(space: StageSpace, random: Random) -> Block:
    return Block(random.choice(space.kernels), random.choice(space.expansions))
