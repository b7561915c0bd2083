"""Image spaces: the choices of every stage, sized by the images it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from services.common.errors import InvalidArgumentError
from services.search.space.architecture import Architecture, Block, Stage
from services.search.space.stages import KERNELS, SEPARABLE, StageSpace, bottleneck_stages, separable_stages

SMALLEST_IMAGE = 8


@dataclass(frozen=True, slots=True)
class ImageSpace:
    """Networks over square images, all of inverted bottlenecks or all of separable blocks (stages.py).

    Source: MCUNet (Lin et al., NeurIPS 2020) and MCUNetV2 (NeurIPS 2021), scaled down to small images.
    """

    input_channels: int
    classes: int
    resolutions: tuple[int, ...]
    width_multiplier: float
    stem_channels: int
    stages: tuple[StageSpace, ...]

    def stage_channels(self, index: int, width: float) -> int:
        """Output channels of a stage at a width."""
        return round_channels(self.stages[index].channels * self.width_multiplier * width)

    @property
    def blocks(self) -> str:
        """What its stages are made of, for people."""
        return "separable blocks" if self.stages[0].expansions == (SEPARABLE,) else "inverted bottlenecks"

    @property
    def stem_width(self) -> int:
        """Output channels of the stem convolution."""
        return round_channels(self.stem_channels * self.width_multiplier)

    def largest(self) -> Architecture:
        """The architecture with every choice at its maximum: the supernet itself."""
        return self._extreme(max)

    def smallest(self) -> Architecture:
        """The architecture with every choice at its minimum."""
        return self._extreme(min)

    def contains(self, architecture: Architecture) -> bool:
        """Whether every choice of the architecture is one of the space's."""
        return (
            architecture.resolution in self.resolutions
            and len(architecture.stages) == len(self.stages)
            and all(_stage_fits(s, c) for s, c in zip(self.stages, architecture.stages, strict=True))
        )

    def _extreme(self, pick: Callable[[Iterable[float]], float]) -> Architecture:
        stages = tuple(
            Stage(pick(s.widths), (Block(int(pick(s.kernels)), int(pick(s.expansions))),) * int(pick(s.depths)))
            for s in self.stages
        )
        return Architecture(int(pick(self.resolutions)), stages)


@dataclass(frozen=True, slots=True)
class SpaceChoices:
    """What a user may fix of the space; an empty tuple leaves it to the defaults for the image size."""

    resolutions: tuple[int, ...] = ()
    width_multipliers: tuple[float, ...] = ()
    kernels: tuple[int, ...] = ()
    expansions: tuple[int, ...] = ()
    depths: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _require("resolution", self.resolutions, lambda v: SMALLEST_IMAGE <= v <= 512, f"{SMALLEST_IMAGE} to 512")
        _require("width multiplier", self.width_multipliers, lambda v: 0 < v <= 4, "above 0, at most 4")
        _require("kernel size", self.kernels, lambda v: v in KERNELS, "3, 5 or 7")
        _require("expansion ratio", self.expansions, lambda v: SEPARABLE <= v <= 8, "1 to 8")
        _require("depth", self.depths, lambda v: 1 <= v <= 8, "1 to 8")


def image_spaces(image_hwc: tuple[int, int, int], classes: int, choices: SpaceChoices) -> tuple[ImageSpace, ...]:
    """Return one space for each resolution, kind of block and width multiplier: the candidates of space optimization.

    A space keeps its resolution elastic downwards: it holds the resolution and the next smaller candidate. Expansion
    ratio 1 stands for separable blocks: they are left out where only others are chosen, and the other way round.
    """
    resolutions = tuple(sorted(set(choices.resolutions or default_resolutions(min(image_hwc[:2])))))
    multipliers = tuple(sorted(set(choices.width_multipliers or (0.5, 0.75, 1.0, 1.5))))
    return tuple(
        ImageSpace(image_hwc[2], classes, resolutions[max(0, i - 1) : i + 1], m, 16, stages)
        for i in range(len(resolutions))
        for stages in _kinds(max(resolutions), choices)
        for m in multipliers
    )


def default_resolutions(image_size: int) -> tuple[int, ...]:
    """Candidate input sizes for images of a size: about 70 %, 85 % and all of it, in steps of 4 pixels, at most 160."""
    top = max(SMALLEST_IMAGE, min(image_size, 160) // 4 * 4)
    return tuple(sorted({max(SMALLEST_IMAGE, round(top * share / 4) * 4) for share in (0.7, 0.85, 1.0)}))


def round_channels(channels: float) -> int:
    """Round to a multiple of 4 and at least 4: kernels work on words of four int8."""
    return max(4, int(channels / 4 + 0.5) * 4)


def _kinds(resolution: int, choices: SpaceChoices) -> Iterator[tuple[StageSpace, ...]]:
    """Yield the stages of every kind of block that is not ruled out."""
    expansions = tuple(e for e in choices.expansions if e != SEPARABLE)
    if expansions or not choices.expansions:
        yield _chosen(bottleneck_stages(resolution), choices, expansions)
    if SEPARABLE in choices.expansions or not choices.expansions:
        yield _chosen(separable_stages(resolution), choices, ())


def _chosen(stages: Iterable[StageSpace], choices: SpaceChoices, expansions: tuple[int, ...]) -> tuple[StageSpace, ...]:
    return tuple(
        replace(
            stage,
            depths=choices.depths or stage.depths,
            kernels=choices.kernels or stage.kernels,
            expansions=expansions or stage.expansions,
        )
        for stage in stages
    )


def _stage_fits(space: StageSpace, stage: Stage) -> bool:
    return (
        stage.width in space.widths
        and len(stage.blocks) in space.depths
        and all(b.kernel in space.kernels and b.expansion in space.expansions for b in stage.blocks)
    )


def _require(name: str, values: tuple[float, ...], is_allowed: Callable[[float], bool], allowed: str) -> None:
    for value in values:
        if not is_allowed(value):
            raise InvalidArgumentError(
                f"{name} is {value}: must be {allowed}", reason="SPACE", subject=name, value=value, allowed=allowed
            )
