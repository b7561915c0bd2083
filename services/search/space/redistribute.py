"""Receptive-field redistribution: less of it where a network runs patch by patch, more where it runs per layer.

Patches overlap by what their last outputs see beyond each other, and that halo is computed again and again; its share
falls with the receptive field of the patch stage. So depthwise kernels shrink there, and the receptive field that the
network loses is given back by larger kernels, then by more blocks, where images are small and steps between values
large: there a pixel of receptive field costs least. Source: MCUNetV2 (Lin et al., NeurIPS 2021), section 3.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from services.common.errors import InvalidArgumentError
from services.search.space.architecture import Architecture, Block
from services.search.space.image import ImageSpace
from services.search.space.plan import BlockPlan, ConvPlan, Plan, plan_of
from services.search.space.receptive_field import Sight, conv_macs, output_size, plan_macs, sight

_MOST_ADDED_BLOCKS = 8


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a plan computes and sees: of the whole network, and of the patch stage's outputs (pixels along an axis)."""

    macs: int
    receptive_field: int
    patch_receptive_field: int


@dataclass(frozen=True, slots=True)
class Redistribution:
    """The changed plan, and what it was and is."""

    plan: Plan
    before: Footprint
    after: Footprint


@dataclass(frozen=True, slots=True)
class KernelChoice:
    """Depthwise kernel sizes: the smallest that a patch stage's layers may get, and what later ones may be."""

    smallest: int = 1
    sizes: tuple[int, ...] = (3, 5, 7)

    def __post_init__(self) -> None:
        if bad := [k for k in (self.smallest, *self.sizes) if k < 1 or k % 2 == 0]:
            raise InvalidArgumentError(
                f"kernel size is {bad[0]}: must be odd and at least 1", subject="kernel size", value=bad[0]
            )


def redistribute(plan: Plan, patch_blocks: int, kernels: KernelChoice | None = None) -> Redistribution:
    """Return the plan with the depthwise kernels of its first blocks shrunk and its receptive field kept.

    `patch_blocks` is how many blocks run patch by patch. Layers of stride s keep a kernel above s, so that no pixel
    is skipped. Raises InvalidArgumentError where no block, or all, would be in the patch stage.
    """
    choice = kernels or KernelChoice()
    if not 0 < patch_blocks < len(plan.blocks):
        raise InvalidArgumentError(
            f"patch stage is {patch_blocks} blocks: must be 1 to {len(plan.blocks) - 1}",
            subject="patch_blocks",
            value=patch_blocks,
            allowed=f"1 to {len(plan.blocks) - 1}",
        )
    wanted = sight(plan.blocks).receptive_field
    changed = _shrunk(plan, patch_blocks, choice.smallest)
    changed = _with_larger_kernels(changed, patch_blocks, wanted, choice.sizes)
    changed = _with_more_blocks(changed, patch_blocks, wanted)
    return Redistribution(changed, footprint(plan, patch_blocks), footprint(changed, patch_blocks))


def redistribute_architecture(space: ImageSpace, architecture: Architecture, patch_stages: int) -> Architecture:
    """Return the architecture with the smallest kernels in its first stages and larger ones later, within the space.

    The receptive field is kept as far as the space's kernels allow; depths stay as they are. Raises
    InvalidArgumentError where no stage, or all, would be in the patch stage.
    """
    if not 0 < patch_stages < len(space.stages):
        raise InvalidArgumentError(
            f"patch stage is {patch_stages} stages: must be 1 to {len(space.stages) - 1}",
            subject="patch_stages",
            value=patch_stages,
            allowed=f"1 to {len(space.stages) - 1}",
        )
    plan = plan_of(space, architecture)
    patch_blocks = 1 + sum(len(stage.blocks) for stage in architecture.stages[:patch_stages])
    early = {k for stage in space.stages[:patch_stages] for k in stage.kernels}
    late = set.intersection(*(set(stage.kernels) for stage in space.stages[patch_stages:]))
    changed = _shrunk(plan, patch_blocks, min(early))
    changed = _with_larger_kernels(changed, patch_blocks, sight(plan.blocks).receptive_field, tuple(sorted(late)))
    sizes = iter(conv.kernel for conv in changed.convs() if conv.depthwise)
    stages = tuple(
        replace(stage, blocks=tuple(Block(next(sizes), block.expansion) for block in stage.blocks))
        for stage in architecture.stages
    )
    return replace(architecture, stages=stages)


def footprint(plan: Plan, patch_blocks: int) -> Footprint:
    """Return what a plan computes and sees."""
    patch = sight(plan.blocks[:patch_blocks]).receptive_field
    return Footprint(plan_macs(plan), sight(plan.blocks).receptive_field, patch)


def _shrunk(plan: Plan, patch_blocks: int, smallest: int) -> Plan:
    """Return the plan with the smallest kernels in its patch stage: above the stride, and odd."""
    sizes = {
        conv.name: min(conv.kernel, max(smallest, conv.stride + 1 + conv.stride % 2 if conv.stride > 1 else 1))
        for block in plan.blocks[:patch_blocks]
        for conv in block.convs
        if conv.depthwise
    }
    return _with_kernels(plan, sizes)


def _with_larger_kernels(plan: Plan, patch_blocks: int, wanted: int, sizes: tuple[int, ...]) -> Plan:
    """Grow one kernel after the other until the receptive field is there: each time the cheapest pixel of it."""
    while sight(plan.blocks).receptive_field < wanted:
        steps = list(_growths(plan, patch_blocks, sizes))
        if not steps:
            break
        _, name, size = min(steps)
        plan = _with_kernels(plan, {name: size})
    return plan


def _growths(plan: Plan, patch_blocks: int, sizes: tuple[int, ...]) -> Iterator[tuple[float, str, int]]:
    """Yield for every later depthwise layer the MACs a pixel of receptive field costs, its name and its next size."""
    seen, size = Sight(), plan.resolution
    for index, block in enumerate(plan.blocks):
        for conv in block.layers():
            seen_before, seen, size = seen, seen.through(conv), output_size(size, conv)
            if not isinstance(conv, ConvPlan):
                continue
            larger = next((k for k in sizes if k > conv.kernel), None)
            if conv.depthwise and index >= patch_blocks and larger is not None:
                added = conv_macs(replace(conv, kernel=larger), size) - conv_macs(conv, size)
                yield added / ((larger - conv.kernel) * seen_before.jump), conv.name, larger


def _with_more_blocks(plan: Plan, patch_blocks: int, wanted: int) -> Plan:
    """Repeat the last block with a residual and a depthwise layer until the receptive field is there."""
    for number in range(_MOST_ADDED_BLOCKS):
        places = [i for i, b in enumerate(plan.blocks) if i >= patch_blocks and b.residual and _depthwise(b)]
        if sight(plan.blocks).receptive_field >= wanted or not places:
            break
        at = places[-1] + 1
        again = plan.blocks[places[-1]]
        added = replace(again, convs=tuple(replace(c, name=f"{c.name}.again{number}") for c in again.convs))
        plan = replace(plan, blocks=(*plan.blocks[:at], added, *plan.blocks[at:]))
    return plan


def _depthwise(block: BlockPlan) -> bool:
    return any(conv.depthwise for conv in block.convs)


def _with_kernels(plan: Plan, sizes: Mapping[str, int]) -> Plan:
    def resized(conv: ConvPlan) -> ConvPlan:
        return replace(conv, kernel=sizes.get(conv.name, conv.kernel))

    blocks = tuple(replace(block, convs=tuple(map(resized, block.convs))) for block in plan.blocks)
    return replace(plan, blocks=blocks)
