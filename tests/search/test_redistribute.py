from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.networks import Bottleneck, bottlenecks, mobilenet_v2, plan_graph
from services.common.errors import InvalidArgumentError
from services.compiler.macs import graph_macs
from services.search.space.image import SpaceChoices, image_spaces
from services.search.space.plan import Plan, plan_of
from services.search.space.receptive_field import plan_macs, sight
from services.search.space.redistribute import KernelChoice, redistribute, redistribute_architecture
from services.search.space.sample import sample

seeds = st.integers(0, 2**32)
SPACE, SEPARABLE = image_spaces((96, 96, 3), 10, SpaceChoices(width_multipliers=(1.5,)))[-2:]


def random_plan(seed: int) -> Plan:
    space = (SPACE, SEPARABLE)[seed % 2]
    return plan_of(space, sample(space, Random(seed)))


def seen_along_an_axis(plan: Plan) -> int:
    """Input pixels that reach one value of the last block: ones pushed back through every layer, wide enough."""
    pixels = {0}
    for conv in reversed(plan.convs()):
        pixels = {p * conv.stride + tap for p in pixels for tap in range(conv.kernel)}
    return max(pixels) - min(pixels) + 1


@given(seeds)
@settings(max_examples=30, deadline=None, derandomize=True)
def test_receptive_field_is_what_a_value_depends_on(seed):
    plan = random_plan(seed)
    assert sight(plan.blocks).receptive_field == seen_along_an_axis(plan)
    assert sight(plan.blocks).jump == np.prod([conv.stride for conv in plan.convs()])


@given(seeds)
@settings(max_examples=5, deadline=None, derandomize=True)
def test_macs_are_those_of_the_compilers_graph(seed):
    plan = random_plan(seed)
    assert plan_macs(plan) == graph_macs(plan_graph(plan))


@given(seeds, st.integers(1, 12), st.sampled_from([1, 3]))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_receptive_field_is_kept_and_the_patch_stage_sees_less(seed, patch_blocks, smallest):
    plan = random_plan(seed)
    patch_blocks = min(patch_blocks, len(plan.blocks) - 1)
    result = redistribute(plan, patch_blocks, KernelChoice(smallest))
    before, after = result.before, result.after
    assert after.patch_receptive_field <= before.patch_receptive_field
    assert after.macs == plan_macs(result.plan)
    late = [c for b in result.plan.blocks[patch_blocks:] for c in b.convs if c.depthwise]
    full = all(c.kernel == 7 for c in late) and not any(b.residual for b in plan.blocks[patch_blocks:])
    assert after.receptive_field >= before.receptive_field or full
    assert len({c.name for c in result.plan.convs()}) == len(result.plan.convs())
    graph = plan_graph(result.plan)
    assert graph.tensors[graph.outputs[0]].shape == (1, plan.classes)


def test_mobilenet_v2_shrinks_early_kernels_and_grows_one_late():
    result = redistribute(mobilenet_v2(1.0, 224), patch_blocks=6)
    kernels = [conv.kernel for conv in result.plan.convs() if conv.depthwise]
    assert kernels == [1, 3, 1, 3, 1, *[3] * 9, 5, 3, 3]
    assert (result.before.patch_receptive_field, result.after.patch_receptive_field) == (43, 15)
    assert (result.before.receptive_field, result.after.receptive_field) == (491, 527)
    assert result.after.macs < result.before.macs


def test_blocks_are_added_where_kernels_cannot_grow():
    blocks = [Bottleneck(7, 2, 8), Bottleneck(7, 2, 8, 2), Bottleneck(7, 2, 16, 2), Bottleneck(7, 2, 16)]
    plan = bottlenecks(8, blocks, 64, 10)
    result = redistribute(plan, patch_blocks=3)
    assert len(result.plan.blocks) > len(plan.blocks)
    assert result.after.receptive_field >= result.before.receptive_field
    assert result.after.patch_receptive_field < result.before.patch_receptive_field


@given(seeds, st.integers(1, 3))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_architecture_stays_in_its_space(seed, patch_stages):
    architecture = sample(SPACE, Random(seed))
    changed = redistribute_architecture(SPACE, architecture, patch_stages)
    assert SPACE.contains(changed)
    assert all(b.kernel == 3 for stage in changed.stages[:patch_stages] for b in stage.blocks)
    assert replace(changed, stages=()) == replace(architecture, stages=())
    before, after = (sight(plan_of(SPACE, a).blocks).receptive_field for a in (architecture, changed))
    late = [b.kernel for stage in changed.stages[patch_stages:] for b in stage.blocks]
    assert after >= before or set(late) == {7}


@pytest.mark.parametrize("patch_blocks", [0, 6])
def test_patch_stage_of_nothing_or_everything_is_refused(patch_blocks):
    plan = bottlenecks(8, [Bottleneck(3, 2, 8)] * 5, 32, 2)
    with pytest.raises(InvalidArgumentError, match="must be 1 to 5"):
        redistribute(plan, patch_blocks)


def test_even_kernels_are_refused():
    with pytest.raises(InvalidArgumentError, match="kernel size is 4: must be odd"):
        KernelChoice(sizes=(3, 4))
