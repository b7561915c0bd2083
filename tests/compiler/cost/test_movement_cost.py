"""What joining, cutting and padding images is said to cost, whole and in turns, beside what it takes on a board."""

from __future__ import annotations

import pytest

from benchmarks.cost_measured import Subject, on_board
from services.compiler.cost.cost_model import layer_work, load_cost_table, work
from services.compiler.cost.layer_cost import network_cost
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Concatenation, Pad, Split, StridedSlice
from services.compiler.options import Core, Interface, Kernels
from services.compiler.pipeline import compile_choice
from services.compiler.planned import Planned, StreamPlanner, plan_network
from services.compiler.planner.kinds import Choice
from services.compiler.schedule.streaming import stream
from tests.compiler.graph_maker import GraphMaker
from tests.cores.packed import CACHE

SUBJECTS = {core.value: Subject(core, Kernels.CORE) for core in (Core.CORTEX_M4, Core.CORTEX_M0PLUS)}


def branches() -> Graph:
    """Return an image whose channels are cut, joined in channels and in rows, cut and padded again, all by rows."""
    m = GraphMaker(seed=7, name="branches")
    x = m.conv2d(m.input(1, 20, 32, 3), 24, (3, 3))
    one, other = m.split(x, 3, (14, 10))
    joined = m.concatenate((other, m.pool("max", one, (3, 3))), 3)
    longer = m.concatenate((joined, m.pool("max", joined, (3, 3))), 1)
    cut = m.slice(longer, (0, 3, 1, 3), (1, 37, 32, 23), (1, 1, 2, 1))
    padded = m.pad(cut, (0, 2, 1, 0), (0, 1, 2, 0))
    return m.build(m.conv2d(padded, 4, (3, 3), (2, 2)))


def plan_of(subject: Subject, graph: Graph, *, in_turns: bool) -> Planned:
    if not in_turns:
        return plan_network(graph, subject.kernel_set)
    return StreamPlanner(graph, subject.kernel_set).plan([stream(graph, 0, len(graph.ops), 1)], exact=False)


@pytest.mark.parametrize("in_turns", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("subject", SUBJECTS)
def test_estimate_of_joining_cutting_and_padding_is_what_it_takes(subject: str, *, in_turns: bool) -> None:
    on, graph = SUBJECTS[subject], branches()
    plan = plan_of(on, graph, in_turns=in_turns)
    library = compile_choice(Choice(plan, "drawn"), graph, graph, on.options(Interface.FLOAT)).library_zip
    timing = on_board(library, plan, on, CACHE).timing
    assert timing is not None
    table = load_cost_table(on.core, on.kernel_set)
    turns = [turn for stage in plan.program.stages for turn in stage.turns]
    moved = 0
    for layer, ran in zip(plan.program.layers, timing.layers, strict=True):
        op = plan.graph.ops[layer.op_index]
        if isinstance(op, Concatenation | Pad | Split | StridedSlice):
            assert layer.in_turns == in_turns
            boxes = [(turn.rows, turn.cols) for turn in turns if turn.layer == layer.index]
            done = layer_work(plan.graph, layer, boxes, table)
            # what a turn takes before its kernels is not in the model: up to 50 instructions
            most = 1.05 * done.instructions + 50 * len(boxes)
            assert 0.95 * done.instructions < ran.instructions < most, op.name
            moved += 1
    assert moved == 5
    alone, whole = network_cost(plan, on.core), work(plan, on.core)
    assert (alone.instructions, alone.cycles) == pytest.approx((whole.instructions, whole.cycles), rel=1e-12)
