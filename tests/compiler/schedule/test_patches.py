"""Patches: regions and halos by hand, and through compiled code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.tensor import DType
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.macs import graph_macs
from services.compiler.options import CompileOptions, Core, Interface, Kernels
from services.compiler.pipeline import compile_graph
from services.compiler.planned import Planned, StreamPlanner
from services.compiler.quant.reference import run_graph
from services.compiler.schedule.patches import Grid, patches
from services.compiler.schedule.schedule import Region, StageKind
from services.compiler.schedule.streaming import stream
from tests.compiler.graph_maker import GraphMaker, random_inputs
from tests.compiler.host_twin import build_twins
from tests.compiler.schedule.test_streaming import asked, bottlenecks, compiled
from tests.cores.packed import PackedBoard


def patched(graph: Graph, kernels: KernelSet, stop: int, grid: Grid) -> Planned:
    found = patches(graph, stop, grid)
    assert found is not None
    return StreamPlanner(graph, kernels).plan_patches([found])


def two_convolutions() -> Graph:
    m = GraphMaker(name="two")
    return m.build(m.conv2d(m.conv2d(m.input(1, 8, 8, 1), 2, (3, 3)), 2, (3, 3)))


def test_patch_reaches_as_far_as_its_windows_but_not_beyond_the_image() -> None:
    found = patches(two_convolutions(), 2, (2, 2))
    assert found is not None
    assert found.regions[0] == (Region(0, 5, 0, 5), Region(0, 4, 0, 4))
    assert found.regions[3] == (Region(3, 8, 3, 8), Region(4, 8, 4, 8))


def test_halo_counts_in_macs_as_often_as_it_is_computed() -> None:
    graph = two_convolutions()
    planned = patched(graph, KernelSet.PORTABLE, 2, (2, 2))
    inner = 2 * 9  # per pixel of the first convolution
    assert planned.macs == graph_macs(graph) + (4 * 5 * 5 - 8 * 8) * inner


def test_grid_finer_than_the_output_is_no_grid() -> None:
    assert patches(two_convolutions(), 2, (9, 1)) is None


CASES: dict[str, tuple[int, Grid]] = {
    "stem": (2, (2, 2)),
    "through a residual": (6, (3, 2)),
    "into a residual": (4, (2, 3)),
    "rows only": (9, (3, 1)),
    "one pixel each": (9, (3, 3)),
}


def graph_of(seed: int, name: str) -> Graph:
    """Bottlenecks, then what has other kernels: pools, gates, a table, a product."""
    if seed % 2:
        return bottlenecks(seed=seed, name=name)
    m = GraphMaker(seed=seed, name=name)
    x = m.conv2d(m.input(1, 13, 11, 2), 5, (3, 3), (1, 1), (2, 1))
    y = m.pool("average", m.unary("hard_swish", x), (3, 3))
    x = m.binary("mul", x, y, Activation.RELU)
    x = m.pool("max", m.depthwise(x, 2, (3, 5)), (2, 2))
    x = m.conv2d(m.binary("sub", x, m.unary("logistic", x)), 3, (3, 3), (2, 2))
    return m.build(m.depthwise(x, 1, (3, 3)))


def test_patched_code_equals_reference(tmp_path: Path) -> None:
    graphs = [graph_of(n, f"patched {n}") for n in range(2 * len(CASES))]
    cases = [case for case in CASES.values() for _ in range(2)]
    plans = [patched(g, KernelSet.PORTABLE, *case) for g, case in zip(graphs, cases, strict=True)]
    assert all(planned.kind is StageKind.PATCH for planned in plans)
    for graph, case, twin in zip(graphs, cases, build_twins([compiled(p) for p in plans], tmp_path), strict=True):
        inputs = random_inputs(graph, 1)
        for got, want in zip(twin.run(*inputs), run_graph(graph, inputs), strict=True):
            np.testing.assert_array_equal(got, want, err_msg=f"{graph.name}: {case}")


@pytest.mark.parametrize(
    ("target", "core", "kernels"),
    [("nucleo-l4r5zi", Core.CORTEX_M4, KernelSet.THUMB2), ("rp2040", Core.CORTEX_M0PLUS, KernelSet.THUMB1)],
)
def test_core_kernels_run_patches(target: str, core: Core, kernels: KernelSet) -> None:
    graphs = [bottlenecks(seed=n, size=16, name=f"patched on the core {n}") for n in range(len(CASES))]
    plans = [patched(g, kernels, *case) for g, case in zip(graphs, CASES.values(), strict=True)]
    options = CompileOptions(target, core, interface=Interface.FLOAT)
    with PackedBoard([compiled(planned, options) for planned in plans]) as board:
        for number, (name, graph) in enumerate(zip(CASES, graphs, strict=True)):
            inputs = random_inputs(graph, 1)
            for got, want in zip(board.run(number, inputs), run_graph(graph, inputs), strict=True):
                np.testing.assert_array_equal(got, want, err_msg=name)


def test_rnn_pool_extrema_slopes_tables_and_int4_weights_run_in_turns(tmp_path: Path) -> None:
    m = GraphMaker(seed=3, name="kinds")
    x = m.conv2d(m.input(1, 17, 14, 3), 5, (3, 3), weights=DType.INT4)
    x = m.binary("maximum", x, m.pool("average", x, (3, 3)))
    x = m.table(m.prelu(x, (5,)))
    x = m.depthwise(x, 1, (3, 3), weights=DType.INT4)
    graph = m.build(m.rnn_pool(x, 4, 2, (5, 4), (3, 2)))
    stop = len(graph.ops)
    streams = [stream(graph, 0, stop, rows) for rows in (1, 2)]
    plans = [StreamPlanner(graph, KernelSet.PORTABLE).plan([found]) for found in streams]
    plans += [patched(graph, KernelSet.PORTABLE, stop, grid) for grid in ((2, 3), (4, 1))]
    named = [replace(planned, graph=replace(graph, name=f"kinds {n}")) for n, planned in enumerate(plans)]
    inputs = random_inputs(graph, 1)
    (want,) = run_graph(graph, inputs)
    for twin in build_twins([compiled(planned) for planned in named], tmp_path):
        np.testing.assert_array_equal(twin.run(*inputs)[0], want, err_msg=twin.manifest.name)


def test_int16_activations_run_in_turns(tmp_path: Path) -> None:
    m = GraphMaker(seed=4, name="wide", activations=DType.INT16)
    x = m.conv2d(m.input(1, 17, 14, 3), 5, (3, 3))
    y = m.depthwise(x, 2, (3, 5), (2, 1))
    y = m.conv2d(m.pool("average", y, (3, 3)), 5, (1, 1))
    x = m.binary("add", m.pool("max", x, (2, 2), (2, 1)), y)
    graph = m.build(m.conv2d(x, 4, (3, 3), (1, 2)))
    stop = len(graph.ops)
    plans = [StreamPlanner(graph, KernelSet.PORTABLE).plan([stream(graph, 0, stop, rows)]) for rows in (1, 3)]
    plans += [patched(graph, KernelSet.PORTABLE, stop, grid) for grid in ((2, 3), (4, 1))]
    named = [replace(planned, graph=replace(graph, name=f"wide {n}")) for n, planned in enumerate(plans)]
    inputs = random_inputs(graph, 1)
    (want,) = run_graph(graph, inputs)
    for twin in build_twins([compiled(planned) for planned in named], tmp_path):
        np.testing.assert_array_equal(twin.run(*inputs)[0], want, err_msg=twin.manifest.name)


def test_network_whose_first_operator_cannot_be_cut_runs_per_layer() -> None:
    m = GraphMaker(name="flat first")
    graph = m.build(m.conv2d(m.conv2d(m.reshape(m.dense(m.input(1, 64), 64), 1, 8, 8, 1), 4), 4))
    reason, why = "per-layer: the first operators cannot be cut into", "operator 0, FullyConnected, does not run"
    assert asked(graph, "patch").manifest.schedule_reason == f"{reason} patches: {why} on parts of an image"
    assert asked(graph, "patch:3x2").manifest.schedule_reason == f"{reason} 3x2 patches: {why} on parts of an image"


def test_grid_finer_than_the_images_is_told() -> None:
    found = asked(bottlenecks(size=16), "patch:99x99").manifest.schedule_reason
    assert found.endswith("cut into 99x99 patches: their outputs have fewer rows or columns")


def test_input_that_a_reshape_makes_an_image_is_cut(tmp_path: Path) -> None:
    """One channel of PyTorch: [1, 1, H, W] behind which comes a Reshape."""
    m = GraphMaker(seed=8, name="gray")
    graph = m.build(m.conv2d(m.conv2d(m.reshape(m.input(1, 1, 16, 12), 1, 16, 12, 1), 4, (3, 3)), 3, (3, 3), (2, 2)))
    found = compile_graph(graph, graph, CompileOptions("host", Core.CORTEX_M4, "patch:3x2", kernels=Kernels.PORTABLE))
    assert (found.manifest.schedule, found.manifest.inputs[0].shape) == ("patch", (1, 16, 12, 1))
    (twin,) = build_twins([found], tmp_path)
    (image,) = random_inputs(graph, 1)
    (want,) = run_graph(graph, [image])
    np.testing.assert_array_equal(twin.run(image.reshape(1, 16, 12, 1))[0], want)


@pytest.mark.parametrize("pulled", [False, True])
def test_input_of_floats_that_is_quantized_before_it_is_an_image_is_cut(pulled: bool, tmp_path: Path) -> None:
    """Interface float of one channel of PyTorch: the Quantize before the Reshape saw an image of one row."""
    m = GraphMaker(seed=8, name="floats")
    image = m.reshape(m.quantize(m.input(1, 1, 16, 12, dtype=DType.FLOAT32)), 1, 16, 12, 1)
    graph = m.build(m.conv2d(m.conv2d(image, 4, (3, 3)), 3, (3, 3), (2, 2)))
    options = CompileOptions(
        "host", Core.CORTEX_M4, "patch:3x2", Interface.FLOAT, kernels=Kernels.PORTABLE, pull_input=pulled
    )
    found = compile_graph(graph, graph, options)
    (slot,) = found.manifest.inputs
    assert (found.manifest.schedule, slot.shape, slot.dtype) == ("patch", (1, 16, 12, 1), "float32")
    (twin,) = build_twins([found], tmp_path)
    (floats,) = random_inputs(graph, 1)
    np.testing.assert_array_equal(twin.run(floats.reshape(1, 16, 12, 1))[0], run_graph(graph, [floats])[0])


def test_streams_follow_patches(tmp_path: Path) -> None:
    graph = bottlenecks(size=16, name="both")
    found = patches(graph, 2, (2, 2))
    assert found is not None
    planned = StreamPlanner(graph, KernelSet.PORTABLE).plan_patches([found], [stream(graph, 4, 9, 2)])
    (twin,) = build_twins([compiled(planned)], tmp_path)
    inputs = random_inputs(graph, 1)
    for got, want in zip(twin.run(*inputs), run_graph(graph, inputs), strict=True):
        np.testing.assert_array_equal(got, want)


def test_patches_within_a_budget_compute_least_again() -> None:
    graph = bottlenecks(size=48)
    whole, least = asked(graph, "per-layer").manifest, asked(graph, "patch").manifest
    macs = []
    for arena in (least.memory.arena, (2 * least.memory.arena + whole.memory.arena) // 3, whole.memory.arena - 4):
        found = asked(graph, "patch", budget=arena + 1024).manifest
        assert found.memory.arena <= arena
        macs.append(found.macs)
    assert macs == sorted(macs, reverse=True)
    assert macs[-1] < least.macs


def test_patches_save_memory_and_cost_macs() -> None:
    graph = bottlenecks(size=48)
    whole, found = asked(graph, "per-layer").manifest, asked(graph, "patch").manifest
    assert (found.schedule, found.memory.arena < whole.memory.arena) == ("patch", True)
    assert found.macs > whole.macs
    assert asked(graph, "patch:2x3").manifest.schedule_reason.split(":")[0].endswith("in 2x3 patches")
