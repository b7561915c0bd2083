"""The order of operators: the lowest peak of all orders, the same outputs, chains left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.compiler.ir.graph import Graph
from services.compiler.ir.verify import verify
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.options import CompileOptions, Core, Interface, Kernels
from services.compiler.pipeline import compile_graph
from services.compiler.planned import plan_network
from services.compiler.quant.reference import run_graph
from services.compiler.schedule import execution_order
from services.compiler.schedule.execution_order import Cuts, order_operators
from tests.compiler.graph_maker import GraphMaker, random_inputs
from tests.compiler.host_twin import build_twins

OPTIONS = CompileOptions("host", Core.CORTEX_M4, interface=Interface.FLOAT, kernels=Kernels.PORTABLE)


def two_wide_branches(seed: int = 0) -> Graph:
    """Both branches widen before they narrow; given breadth first, which keeps both wide tensors."""
    m = GraphMaker(seed=seed, name=f"branches{seed}")
    x = m.conv2d(m.input(1, 8, 8, 3), 4)
    wide = [m.conv2d(x, 32, (1, 1)) for _ in range(2)]
    narrow = [m.pool("max", w, (4, 4), (4, 4)) for w in wide]
    return m.build(m.binary("add", narrow[0], narrow[1]))


def random_branches(seed: int) -> Graph:
    m = GraphMaker(seed=seed, name=f"random{seed}")
    pool = [m.input(1, 4, 4, 2)]
    for _ in range(7):
        x = pool[int(m.random.integers(len(pool)))]
        pool.append(m.conv2d(x, int(m.random.integers(1, 20)), (1, 1)))
    flat = [m.mean(x, (1, 2, 3)) for x in pool[1:]]
    total = flat[0]
    for y in flat[1:]:
        total = m.binary("add", total, y)
    return m.build(total)


def all_orders(cuts: Cuts, done: int = 0) -> int:
    """Return the lowest peak by trying everything."""
    ready = list(cuts.ready(done))
    if not ready:
        return 0
    return min(max(cuts.step_bytes(done, op), all_orders(cuts, done | 1 << op)) for op in ready)


def test_branches_run_one_after_the_other() -> None:
    graph = two_wide_branches()
    assert [op.name for op in verify(order_operators(graph)).ops] == [
        "conv 0",
        "conv 1",
        "max 3",
        "conv 2",
        "max 4",
        "add 5",
    ]
    assert plan_network(graph).plan.arena_bytes < 2 * 8 * 8 * 32
    assert plan_network(graph).graph.ops != graph.ops


def test_chain_is_left_alone() -> None:
    m = GraphMaker()
    graph = m.build(m.conv2d(m.conv2d(m.input(1, 8, 8, 3), 4), 2))
    assert order_operators(graph) is graph


@pytest.mark.parametrize("kernels", KernelSet, ids=lambda k: k.value)
@pytest.mark.parametrize("seed", range(6))
def test_peak_is_the_lowest_of_all_orders(seed: int, kernels: KernelSet) -> None:
    m = GraphMaker(seed=seed, name="few")
    x = m.conv2d(m.input(1, 4, 4, 2), 3)
    wide = [m.conv2d(x, int(m.random.integers(1, 30)), (1, 1)) for _ in range(3)]
    ends = [m.pool("max", w, (2, 2), (2, 2)) for w in wide]
    graph = m.build(m.binary("add", m.mean(ends[0], (1, 2, 3)), m.mean(ends[1], (1, 2, 3))), ends[2])
    cuts = Cuts.of(graph, kernels)
    ordered = order_operators(graph, kernels)
    order = tuple(graph.ops.index(op) for op in ordered.ops)
    assert cuts.peak(order) == all_orders(cuts)
    assert cuts.peak(order) <= cuts.peak(tuple(range(len(graph.ops))))


def test_greedy_takes_over_where_there_are_too_many_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution_order, "_MAX_CUTS", 2)
    graph = two_wide_branches()
    assert len(verify(order_operators(graph)).ops) == len(graph.ops)


def test_outputs_are_those_of_the_given_order(tmp_path: Path) -> None:
    graphs = [two_wide_branches(seed) for seed in range(3)] + [random_branches(seed) for seed in range(6)]
    assert any(plan_network(graph).graph.ops != graph.ops for graph in graphs)
    twins = build_twins([compile_graph(graph, graph, OPTIONS) for graph in graphs], tmp_path, optimize="-O1")
    for graph, twin in zip(graphs, twins, strict=True):
        inputs = random_inputs(graph, 1)
        for got, want in zip(twin.run(*inputs), run_graph(graph, inputs), strict=True):
            np.testing.assert_array_equal(got, want)
