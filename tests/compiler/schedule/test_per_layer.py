"""The per-layer schedule: buffers shared by reshapes, in-place depthwise where it saves memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.compiler.ir.tensor import DType, TensorId
from services.compiler.schedule.per_layer import per_layer_schedule, plane_bytes
from services.compiler.schedule.schedule import Buffer, BufferKind, Region, Schedule, Stage, StageKind, Step
from tests.compiler.graph_maker import GraphMaker


def kinds(schedule: Schedule) -> list[tuple[str, int]]:
    return [(b.kind.value, b.size_bytes) for b in schedule.buffers]


def test_every_operator_is_one_step_in_order() -> None:
    m = GraphMaker()
    x = m.input(1, 8, 8, 3)
    graph = m.build(m.pool("max", m.conv2d(x, 4), (2, 2), (2, 2)))
    schedule = per_layer_schedule(graph)
    assert [s.op_index for s in schedule.steps()] == [0, 1]
    assert [stage.kind for stage in schedule.stages] == [StageKind.PER_LAYER]
    assert kinds(schedule) == [("input", 192), ("activation", 256), ("activation", 64)]


def test_reshape_is_no_step_and_shares_the_buffer() -> None:
    m = GraphMaker()
    pooled = m.pool("max", m.input(1, 4, 4, 2), (2, 2), (2, 2))
    flat = m.reshape(pooled, 1, 8)
    graph = m.build(m.dense(flat, 3))
    schedule = per_layer_schedule(graph)
    assert [graph.ops[s.op_index].kind for s in schedule.steps()] == ["MaxPool2D", "FullyConnected"]
    assert schedule.buffers[1].tensors == (pooled, flat)


def test_reshape_of_the_input_to_the_output_has_no_steps() -> None:
    m = GraphMaker()
    graph = m.build(m.reshape(m.input(1, 4, 4, 2), 1, 32))
    schedule = per_layer_schedule(graph)
    assert list(schedule.steps()) == []
    assert schedule.outputs == (0,)


def test_depthwise_runs_in_place_through_one_padded_channel() -> None:
    m = GraphMaker()
    graph = m.build(m.depthwise(m.conv2d(m.input(1, 8, 8, 3), 16, (1, 1))))
    schedule = per_layer_schedule(graph)
    assert kinds(schedule)[-1] == ("scratch", 100)
    assert [s.scratch for s in schedule.steps()] == [None, 3]


NOT_IN_PLACE: dict[str, tuple[int, Callable[[GraphMaker, TensorId], tuple[TensorId, ...]]]] = {
    "of few channels, whose plane would save nothing": (1, lambda m, x: (m.depthwise(x),)),
    "of a tensor that is read later": (16, lambda m, x: (m.binary("add", m.depthwise(x), x),)),
    "of an output of the network": (16, lambda m, x: (m.depthwise(x), x)),
    "with a channel multiplier": (16, lambda m, x: (m.depthwise(x, 2),)),
}


@pytest.mark.parametrize("case", NOT_IN_PLACE)
def test_depthwise_is_not_in_place(case: str) -> None:
    channels, outputs = NOT_IN_PLACE[case]
    m = GraphMaker()
    graph = m.build(*outputs(m, m.conv2d(m.input(1, 8, 8, 3), channels, (1, 1))))
    assert all(s.scratch is None for s in per_layer_schedule(graph).steps())


def test_plane_covers_padding_stride_and_dilation() -> None:
    m = GraphMaker()
    graph = m.build(m.depthwise(m.input(1, 9, 8, 2), stride=(2, 2), dilation=(2, 1)))
    op = graph.ops[0]
    assert plane_bytes(graph, op) == (4 * 2 + 2 * 2 + 1) * (3 * 2 + 2 + 1)  # type: ignore[arg-type]


def test_float_tensor_takes_four_bytes_an_element() -> None:
    m = GraphMaker()
    graph = m.build(m.quantize(m.input(1, 4, dtype=DType.FLOAT32)))
    assert kinds(per_layer_schedule(graph)) == [("input", 16), ("activation", 4)]


def test_unknown_buffer_is_refused() -> None:
    step = Step(0, (0,), (7,))
    with pytest.raises(ValueError, match=r"unknown buffers \[7\]"):
        Schedule("s", (Buffer(0, "b", BufferKind.INPUT, 4),), (Stage(StageKind.PER_LAYER, (step,)),), (0,))
    with pytest.raises(ValueError, match=r"outputs unknown buffers \[3\]"):
        Schedule("s", (Buffer(0, "b", BufferKind.INPUT, 4),), (), (3,))


def test_empty_region_is_refused() -> None:
    with pytest.raises(ValueError, match="empty or negative"):
        Region(2, 2, 0, 1)
