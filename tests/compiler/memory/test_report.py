"""The memory report: every byte counted once, parts that add up, overlaps per operator."""

from __future__ import annotations

from services.compiler.ir.graph import Graph
from services.compiler.ir.tensor import DType
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.memory.overlap import OverlapRule, OverlapRules
from services.compiler.planned import plan_network
from services.compiler.schedule.per_layer import per_layer_schedule
from tests.compiler.graph_maker import GraphMaker


def rules_of(graph: Graph) -> tuple[OverlapRule, ...]:
    return OverlapRules(graph, KernelSet.PORTABLE).of(per_layer_schedule(graph))


def test_split_counts_the_input_while_it_lives() -> None:
    """The first output starts 116 below the input, so that no row of it is overwritten before it was read."""
    m = GraphMaker()
    planned = plan_network(m.build(m.conv2d(m.conv2d(m.input(1, 8, 8, 3), 4), 2)))
    split = planned.memory.split
    assert (split.input, split.activations, split.line_buffers, split.scratch) == (192, 116, 0, 0)
    assert split.arena == planned.plan.arena_bytes == 308
    assert planned.memory.peak_step == 0
    assert planned.memory.live_bytes == (288, 276)


def test_scratch_and_in_place_depthwise_are_told_apart() -> None:
    m = GraphMaker()
    planned = plan_network(m.build(m.depthwise(m.conv2d(m.input(1, 8, 8, 1), 16, (1, 1)))))
    assert planned.memory.split.arena == 16 * 64 + 100
    assert planned.memory.split.scratch == 100
    assert planned.memory.peak_step == 1


def test_holes_count_as_activations_so_that_the_parts_add_up() -> None:
    m = GraphMaker()
    planned = plan_network(m.build(m.dense(m.dense(m.input(1, 3), 5), 2)))
    split = planned.memory.split
    assert split.input + split.activations + split.scratch == planned.plan.arena_bytes


def test_elementwise_operators_may_run_in_place() -> None:
    m = GraphMaker()
    x = m.input(1, 4, 4, 3)
    y = m.unary("relu", x)
    assert rules_of(m.build(y)) == (OverlapRule(0, 1, 0),)


def test_sum_may_take_the_place_of_either_full_input_but_not_of_a_broadcast_one() -> None:
    m = GraphMaker()
    x, row = m.input(1, 4, 4, 3), m.input(3)
    assert rules_of(m.build(m.binary("add", x, row))) == (OverlapRule(0, 2, 0),)
    m = GraphMaker()
    assert rules_of(m.build(m.binary("add", m.input(1, 4), m.input(1, 4)))) == (
        OverlapRule(0, 2, 0),
        OverlapRule(1, 2, 0),
    )


def test_input_read_in_two_shapes_is_not_overwritten() -> None:
    """The same buffer is the full and the broadcast side: writing it in place would change what is still read."""
    m = GraphMaker()
    x = m.input(1, 1, 4)
    assert rules_of(m.build(m.binary("mul", x, m.reshape(x, 4, 1)))) == ()


def test_dequantize_needs_its_output_lower() -> None:
    m = GraphMaker()
    assert rules_of(m.build(m.dequantize(m.input(1, 10)))) == (OverlapRule(0, 1, 27),)


def test_quantize_of_floats_runs_in_place() -> None:
    m = GraphMaker()
    planned = plan_network(m.build(m.quantize(m.input(1, 64, dtype=DType.FLOAT32))))
    assert planned.plan.arena_bytes == 256
