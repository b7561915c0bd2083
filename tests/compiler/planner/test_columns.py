"""When the planner streams by columns, and that what it then says of memory and time is what is compiled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.networks import mobilenet_v2, plan_graph
from services.compiler.cost.layer_cost import network_cost
from services.compiler.estimate import estimate, estimate_every
from services.compiler.ir.graph import Graph
from services.compiler.ir.planned_ops import TransposeImage
from services.compiler.options import CompileOptions, Core, Interface, Kernels
from services.compiler.passes.by_columns import by_columns
from services.compiler.passes.optimize import optimize
from services.compiler.pipeline import Compiled, compile_graph
from services.compiler.planned import plan_network
from services.compiler.planner.choose import choose
from services.compiler.planner.columns import pays
from services.compiler.planner.kinds import RESERVED_BYTES
from services.compiler.quant.reference import run_graph
from services.compiler.schedule.schedule import StageKind
from tests.compiler.graph_maker import GraphMaker, random_inputs
from tests.compiler.host_twin import build_twins

HOST = CompileOptions("host", Core.CORTEX_M4, "streaming", kernels=Kernels.PORTABLE)
BOARD = replace(HOST, target="nucleo-l4r5zi", kernels=Kernels.CORE)


def network(height: int, width: int, channels: int = 3) -> Graph:
    """Two inverted bottlenecks behind a convolution, and a classifier."""
    m = GraphMaker(seed=1, name=f"{height} x {width}")
    x = m.conv2d(m.input(1, height, width, channels), 8, (3, 3), (2, 2))
    for stride in (1, 2):
        x = m.conv2d(m.depthwise(m.conv2d(x, 24, (1, 1)), 1, (3, 3), (stride, stride)), 8, (1, 1))
    return m.build(m.dense(m.mean(x, (1, 2), keep=False), 4))


def without_weights(graph: Graph) -> Graph:
    return graph.with_tensors({t: replace(v, data=None) for t, v in graph.tensors.items() if v.is_constant})


def rows_alone(graph: Graph, options: CompileOptions, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the arena that the planner finds where it does not try columns."""
    with monkeypatch.context() as patch:
        patch.setattr("services.compiler.planner.kinds.transposed", lambda _: None)
        return choose(graph, options).planned.plan.arena_bytes


def test_wide_image_is_streamed_by_columns_in_less_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = network(16, 64)
    found = choose(graph, BOARD)
    assert found.reason.startswith("streaming layers ") and "column" in found.reason and "row" not in found.reason
    assert found.reason.endswith(f"per-layer needs {plan_network(graph, found.planned.kernels).plan.arena_bytes} "
                                 "bytes of arena")  # fmt: skip
    assert found.planned.plan.arena_bytes < rows_alone(graph, BOARD, monkeypatch)
    assert found.planned.macs == plan_network(graph).macs
    assert isinstance(found.planned.graph.ops[0], TransposeImage)


@pytest.mark.parametrize("size", [(32, 32), (64, 16)])
def test_image_that_is_not_wide_is_streamed_by_rows(size: tuple[int, int]) -> None:
    found = choose(network(*size), BOARD)
    assert found.planned.kind is StageKind.STREAMING
    assert "row at a time" in found.reason and "column" not in found.reason


@pytest.mark.parametrize("seed", range(8))
def test_columns_are_never_worse_than_rows(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(seed)
    height, channels = int(random.integers(8, 20)), int(random.integers(1, 4))
    graph = network(height, height + int(random.integers(1, 30)), channels)
    assert choose(graph, BOARD).planned.plan.arena_bytes <= rows_alone(graph, BOARD, monkeypatch)


def test_within_a_budget_rows_are_taken_where_they_fit_and_are_faster() -> None:
    graph = network(16, 64)
    least = choose(graph, BOARD).planned.plan.arena_bytes
    roomy = choose(graph, replace(BOARD, sram_budget_bytes=4 * least + RESERVED_BYTES))
    assert "column" not in roomy.reason
    tight = choose(graph, replace(BOARD, sram_budget_bytes=least + RESERVED_BYTES))
    assert "column" in tight.reason and f"fewest instructions in {least} bytes" in tight.reason
    assert tight.planned.plan.arena_bytes <= least


def test_the_better_of_two_plans() -> None:
    small, large = (choose(network(16, width), BOARD).planned for width in (48, 64))
    arenas = [p.plan.arena_bytes for p in (small, large)]
    costs = [network_cost(p, Core.CORTEX_M4).instructions for p in (small, large)]
    assert arenas[0] < arenas[1] and costs[0] < costs[1]
    for room in (None, 0, arenas[0], arenas[1]):
        assert pays(small, large, room, Core.CORTEX_M4)
        assert not pays(large, small, room, Core.CORTEX_M4)
    assert not pays(small, small, None, Core.CORTEX_M4)
    per_layer = plan_network(network(16, 48), small.kernels)
    assert not pays(per_layer, large, None, Core.CORTEX_M4)


def test_estimate_without_weights_is_what_is_compiled() -> None:
    graph = network(16, 64)
    compiled = compile_graph(graph, graph, BOARD)
    found = estimate(without_weights(graph), BOARD, exact=True)
    assert "column" in found.reason and found.reason == compiled.manifest.schedule_reason
    assert found.planned.plan.arena_bytes == compiled.manifest.memory.arena
    assert found.layers[0].op == compiled.manifest.layers[0].op == "TransposeImage"
    assert (found.weights_bytes, found.tables_bytes) == (
        compiled.manifest.weights_bytes,
        compiled.manifest.tables_bytes,
    )
    _, others = estimate_every(without_weights(graph), BOARD, exact=True)
    assert [other.reason for other in others if "column" in other.reason] == [found.reason]


def test_input_and_output_of_the_library_are_the_users(tmp_path: Path) -> None:
    """An image goes in by rows and, transposed back, comes out by rows; every inference overwrites the input."""
    m = GraphMaker(seed=5, name="image to image")
    x = m.conv2d(m.input(1, 9, 50, 2), 6, (3, 3), (1, 2))
    graph = m.build(m.conv2d(m.depthwise(m.conv2d(x, 24, (1, 1)), 1, (5, 3)), 3, (1, 1)))
    compiled = compile_graph(graph, graph, replace(HOST, interface=Interface.FLOAT))
    assert "column" in compiled.manifest.schedule_reason
    assert [layer.op for layer in compiled.manifest.layers].count("TransposeImage") == 2
    assert compiled.manifest.inputs[0].shape == (1, 9, 50, 2)
    assert compiled.manifest.outputs[0].shape == (1, 9, 25, 3)
    for seed in range(2):
        assert_runs(compiled, graph, seed, tmp_path)


def test_signal_of_one_row_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By rows there is nothing to stream; by columns nothing has to be moved."""
    m = GraphMaker(seed=2, name="signal")
    x = m.conv2d(m.input(1, 1, 400, 2), 16, (1, 5), (1, 2))
    graph = m.build(m.mean(m.conv2d(m.conv2d(x, 16, (1, 3)), 8, (1, 3), (1, 2)), (1, 2)))
    options = replace(HOST, interface=Interface.FLOAT)
    compiled = compile_graph(graph, graph, options)
    assert compiled.manifest.memory.arena < 0.5 * rows_alone(graph, options, monkeypatch)
    assert "TransposeImage" not in [layer.op for layer in compiled.manifest.layers]
    assert_runs(compiled, graph, 0, tmp_path)


def test_squeeze_and_excite_is_streamed_by_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes images again for the sake of their means goes back to the image that was transposed in place."""
    m = GraphMaker(seed=4, name="squeeze and excite")
    x = m.conv2d(m.input(1, 12, 60, 1), 16, (3, 3))
    gates = m.unary("logistic", m.conv2d(m.mean(x, (1, 2)), 16, (1, 1)))
    graph = m.build(m.mean(m.conv2d(m.binary("mul", x, gates), 8, (3, 3), (2, 2)), (1, 2)))
    options = replace(HOST, interface=Interface.FLOAT)
    compiled = compile_graph(graph, graph, options)
    assert "column" in compiled.manifest.schedule_reason
    assert compiled.manifest.memory.arena < rows_alone(graph, options, monkeypatch)
    kinds = [layer.op for layer in compiled.manifest.layers]
    assert kinds[0] == "TransposeImage" and kinds.count("Conv2D") == 4 and "ImageSums" in kinds
    assert_runs(compiled, graph, 0, tmp_path)


def assert_runs(compiled: Compiled, graph: Graph, seed: int, folder: Path) -> None:
    place = folder / str(seed)
    place.mkdir()
    (twin,) = build_twins([compiled], place)
    inputs = random_inputs(graph, seed)
    for found, wanted in zip(twin.run(*inputs), run_graph(graph, inputs), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_mobilenet_of_wide_images_has_an_image_beside_half_the_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = without_weights(optimize(plan_graph(mobilenet_v2(0.35, 96), width=192), Interface.INT8))
    image = graph.tensors[graph.inputs[0]].size_bytes
    beside = choose(graph, BOARD, exact=False).planned.plan.arena_bytes - image
    assert beside < 0.55 * (rows_alone(graph, BOARD, monkeypatch) - image)


def test_pulled_input_is_streamed_by_rows() -> None:
    graph = network(16, 64)
    compiled = compile_graph(graph, graph, replace(BOARD, pull_input=True))
    assert "row" in compiled.manifest.schedule_reason and by_columns(graph) is not None
