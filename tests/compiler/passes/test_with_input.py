"""The input as each schedule needs it: images behind a Reshape, as PyTorch models of one channel begin."""

from __future__ import annotations

import pytest

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Reshape
from services.compiler.options import CompileOptions, Core
from services.compiler.passes.pull_input import with_input
from services.compiler.planner.choose import choose_every
from services.compiler.schedule.schedule import StageKind
from tests.compiler.graph_maker import GraphMaker


def one_channel() -> Graph:
    """A network whose image is [1, 1, 32, 32], which is [1, 32, 32, 1] to its first operator."""
    m = GraphMaker(seed=0, name="one channel")
    x = m.reshape(m.input(1, 1, 32, 32), 1, 32, 32, 1)
    for channels in (16, 16, 8):
        x = m.conv2d(x, channels, (3, 3), (2, 2))
    return m.build(x)


@pytest.mark.parametrize("schedule", ["auto", "streaming", "patch", "patch:2x2"])
def test_input_is_the_image_wherever_parts_of_it_can_be_read(schedule: str) -> None:
    found = with_input(one_channel(), CompileOptions("host", Core.CORTEX_M4, schedule))
    assert found.tensors[found.inputs[0]].shape == (1, 32, 32, 1)
    assert not any(isinstance(op, Reshape) for op in found.ops)


def test_per_layer_leaves_the_input_as_the_model_has_it() -> None:
    graph = one_channel()
    assert with_input(graph, CompileOptions("host", Core.CORTEX_M4, "per-layer")) is graph


def test_patches_of_such_an_image_are_among_all_schedules() -> None:
    options = CompileOptions("host", Core.CORTEX_M4)
    _, found = choose_every(with_input(one_channel(), options), options, exact=False)
    assert {choice.planned.kind for choice in found} >= {StageKind.PER_LAYER, StageKind.PATCH}
