from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.errors import InvalidArgumentError
from services.compiler.convert.network import network_from_proto
from services.compiler.estimate import estimate
from services.compiler.options import CompileOptions, Core
from services.search.convert import network_to_proto
from services.search.space.architecture import Architecture, from_json, to_json
from services.search.space.image import ImageSpace, SpaceChoices, image_spaces, round_channels
from services.search.space.network import Add, Conv2D, DepthwiseConv2D, network_of
from services.search.space.plan import plan_of
from services.search.space.sample import cross, mutate, sample
from services.search.space.stages import StageSpace

WIDEST = SpaceChoices(width_multipliers=(1.5,))
BOTTLENECKS, SEPARABLE_BLOCKS = image_spaces((28, 28, 1), 10, WIDEST)[-2:]
seeds = st.integers(0, 2**32)
# both kinds of blocks, at the largest resolution
spaces = st.sampled_from(
    [s for side, c in ((16, 1), (28, 1), (96, 3), (160, 3)) for s in image_spaces((side, side, c), 10, WIDEST)[-2:]]
)


@given(seeds, spaces)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_json_gives_back_the_architecture(seed: int, space: ImageSpace) -> None:
    architecture = sample(space, Random(seed))
    assert from_json(to_json(architecture)) == architecture


@given(seeds, spaces, st.floats(0.01, 1))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_samples_mutants_and_children_stay_in_the_space(seed: int, space: ImageSpace, probability: float) -> None:
    random = Random(seed)
    mother, father = sample(space, random), sample(space, random)
    child = cross(mother, father, random)
    assert all(space.contains(a) for a in (mother, father, child, mutate(space, child, probability, random)))
    for stage, own, other in zip(child.stages, mother.stages, father.stages, strict=True):
        assert stage in (own, other)


def test_mutation_with_probability_zero_changes_nothing_and_one_changes_something() -> None:
    space = BOTTLENECKS
    parent = sample(space, Random(1))
    assert mutate(space, parent, 0.0, Random(2)) == parent
    assert mutate(space, parent, 1.0, Random(2)) != parent


def test_an_architecture_outside_the_space_is_not_contained() -> None:
    space = BOTTLENECKS
    assert not space.contains(replace(space.largest(), resolution=29))
    assert not space.contains(replace(space.largest(), stages=space.largest().stages[:-1]))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"resolution": 28}', '{"resolution": 28, "stages": [{"width": 1}]}'])
def test_json_that_is_no_architecture_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="not an architecture"):
        from_json(text)


@given(seeds, spaces)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_tensors_of_a_network_fit_together(seed: int, space: ImageSpace) -> None:
    architecture = sample(space, Random(seed))
    network = network_of(plan_of(space, architecture), "n")
    tensors = network.tensors
    assert tensors[network.inputs[0]].shape == (
        1,
        architecture.resolution,
        architecture.resolution,
        space.input_channels,
    )
    assert tensors[network.outputs[0]].shape == (1, space.classes)
    written = {*network.inputs, *(i for i, t in enumerate(tensors) if t.is_constant)}
    for op in network.ops:
        assert written.issuperset(op.inputs)
        written.update(op.outputs)
        source, output = tensors[op.inputs[0]].shape, tensors[op.outputs[0]].shape
        match op:
            case Conv2D():
                weights = tensors[op.inputs[1]].shape
                assert weights[3] == source[3] and weights[0] == output[3] == tensors[op.inputs[2]].shape[0]
            case DepthwiseConv2D():
                assert tensors[op.inputs[1]].shape[3] == source[3] == output[3]
            case Add():
                assert tensors[op.inputs[1]].shape == source == output
            case _:
                pass


def layers(architecture: Architecture, space: ImageSpace) -> list[str]:
    network = network_of(plan_of(space, architecture), "n")
    return [f"{type(op).__name__} {op.name} {network.tensors[op.outputs[0]].shape}" for op in network.ops]


def test_network_of_bottlenecks_is_written_as_planned() -> None:
    space = image_spaces((16, 16, 1), 3, SpaceChoices(resolutions=(16,), width_multipliers=(0.5,), depths=(2,)))[0]
    assert layers(space.smallest(), space) == [
        "Conv2D stem (1, 8, 8, 8)",
        "Conv2D s0b0.expand (1, 8, 8, 16)",
        "DepthwiseConv2D s0b0.depthwise (1, 8, 8, 16)",
        "Conv2D s0b0.project (1, 8, 8, 4)",
        "Conv2D s0b1.expand (1, 8, 8, 8)",
        "DepthwiseConv2D s0b1.depthwise (1, 8, 8, 8)",
        "Conv2D s0b1.project (1, 8, 8, 4)",
        "Add s0b1.project.add (1, 8, 8, 4)",
        "Conv2D s1b0.expand (1, 8, 8, 8)",
        "DepthwiseConv2D s1b0.depthwise (1, 4, 4, 8)",
        "Conv2D s1b0.project (1, 4, 4, 8)",
        "Conv2D s1b1.expand (1, 4, 4, 16)",
        "DepthwiseConv2D s1b1.depthwise (1, 4, 4, 16)",
        "Conv2D s1b1.project (1, 4, 4, 8)",
        "Add s1b1.project.add (1, 4, 4, 8)",
        "Mean mean (1, 1, 1, 8)",
        "FullyConnected classifier (1, 3)",
    ]


def test_network_of_separable_blocks_is_written_as_planned() -> None:
    assert layers(SEPARABLE_BLOCKS.largest(), SEPARABLE_BLOCKS) == [
        "Conv2D stem (1, 14, 14, 24)",
        "DepthwiseConv2D s0b0.depthwise (1, 14, 14, 24)",
        "Conv2D s0b0.pointwise (1, 14, 14, 72)",
        "DepthwiseConv2D s0b1.depthwise (1, 14, 14, 72)",
        "Conv2D s0b1.pointwise (1, 14, 14, 72)",
        "DepthwiseConv2D s1b0.depthwise (1, 7, 7, 72)",
        "Conv2D s1b0.pointwise (1, 7, 7, 144)",
        "DepthwiseConv2D s1b1.depthwise (1, 7, 7, 144)",
        "Conv2D s1b1.pointwise (1, 7, 7, 144)",
        "DepthwiseConv2D s1b2.depthwise (1, 7, 7, 144)",
        "Conv2D s1b2.pointwise (1, 7, 7, 144)",
        "Mean mean (1, 1, 1, 144)",
        "FullyConnected classifier (1, 10)",
    ]


@pytest.mark.parametrize(
    ("expansions", "expected"),
    [
        ((), {"inverted bottlenecks": {2, 3, 4, 6}, "separable blocks": {1}}),
        ((1,), {"separable blocks": {1}}),
        ((1, 5), {"inverted bottlenecks": {5}, "separable blocks": {1}}),
        ((5,), {"inverted bottlenecks": {5}}),
    ],
)
def test_expansion_one_stands_for_separable_blocks(expansions: tuple[int, ...], expected: dict[str, set[int]]) -> None:
    found = image_spaces((28, 28, 1), 10, SpaceChoices(expansions=expansions))
    assert {s.blocks: {e for stage in s.stages for e in stage.expansions} for s in found} == expected


def test_a_stage_of_both_kinds_of_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="1 must be the only one"):
        StageSpace(16, 1, (1,), (3,), (1, 2))


def test_separable_blocks_are_three_times_as_wide_in_less_memory() -> None:
    """The compiler lets a pointwise layer write over its input; an inverted bottleneck holds both sides of one."""

    def arena(space: ImageSpace) -> int:
        network = network_of(plan_of(space, space.largest()), "n")
        graph = network_from_proto(network_to_proto(network))
        return estimate(graph, CompileOptions("nano33ble", Core.CORTEX_M4)).planned.memory.split.arena

    assert SEPARABLE_BLOCKS.stage_channels(0, 1) == 3 * BOTTLENECKS.stage_channels(0, 1) == 72
    assert 14 * 14 * 72 < arena(SEPARABLE_BLOCKS) < 16 << 10 < arena(BOTTLENECKS)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"resolutions": (4,)}, "resolution is 4: must be 8 to 512"),
        ({"width_multipliers": (-1.0,)}, "width multiplier is -1.0"),
        ({"kernels": (4,)}, "kernel size is 4: must be 3, 5 or 7"),
        ({"expansions": (0,)}, "expansion ratio is 0"),
        ({"depths": (9,)}, "depth is 9"),
    ],
)
def test_choices_outside_the_allowed_are_refused(choices: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        SpaceChoices(**choices)


def test_channels_are_multiples_of_four() -> None:
    assert [round_channels(c) for c in (0.1, 5, 6, 10, 17.9, 18)] == [4, 4, 8, 12, 16, 20]
