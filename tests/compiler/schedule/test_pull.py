"""Inputs that are pulled: turns that fill rings of rows, the C code that asks for rows, and what is refused."""

from __future__ import annotations

import ctypes
import io
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from services.common.errors import UnsupportedError
from services.compiler.errors import UnsupportedModelError
from services.compiler.estimate import estimate
from services.compiler.ir.graph import Graph
from services.compiler.ir.planned_ops import PullRows
from services.compiler.ir.tensor import DType
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.options import CompileOptions, Core, Interface, Kernels
from services.compiler.passes.optimize import optimize
from services.compiler.passes.pull_input import pull_input
from services.compiler.pipeline import compile_choice, compile_graph
from services.compiler.planned import StreamPlanner
from services.compiler.planner.choose import choose
from services.compiler.planner.kinds import Choice
from services.compiler.quant.reference import run_graph
from services.compiler.schedule.rows import is_row_wise, window
from services.compiler.schedule.schedule import BufferKind
from services.compiler.schedule.streaming import Stream, stream
from tests.compiler.graph_maker import GraphMaker, random_inputs
from tests.compiler.host_twin import READ_ROWS, Camera, build_twins
from tests.compiler.schedule.drawn_schedules import draw_streams
from tests.compiler.schedule.test_streaming import bottlenecks
from tests.compiler.test_pipeline_random import PHASES, graphs

EXAMPLES = 6 * int(os.environ.get("TINYFARM_FUZZ_EXAMPLES", "1"))
OPTIONS = CompileOptions("host", Core.CORTEX_M4, "streaming", Interface.FLOAT, Kernels.PORTABLE, pull_input=True)


def pulled_or_skipped(graph: Graph) -> Graph:
    try:
        return pull_input(optimize(graph, Interface.FLOAT))
    except UnsupportedModelError:
        assume(False)
        raise


def random_pulled(graph: Graph, random: np.random.Generator) -> Iterator[Stream]:
    """Yield a stage that begins with the operator that pulls and has one more at least, then any others."""
    stop = 2
    while stop < len(graph.ops) and is_row_wise(graph, graph.ops[stop]):
        stop += 1
    stop = int(random.integers(2, stop + 1))
    yield stream(graph, 0, stop, int(random.integers(1, 5)))
    yield from (found for found in draw_streams(graph, random) if found.start >= stop)


def check_turns(graph: Graph, found: Stream) -> None:
    """Go through the turns with rings of row numbers: what a turn reads must be there."""
    ops = graph.ops[found.start : found.stop]
    rings = {t: [-1] * rows for t, rows in found.rings.items()}
    pulled = 0
    for turn in found.turns:
        op = ops[turn.op]
        for t in dict.fromkeys(op.inputs):
            if t in rings:
                low, high = window(graph, op, t).needed(turn.row_start, turn.row_stop)
                held = [rings[t][row % len(rings[t])] for row in range(low, high)]
                assert held == list(range(low, high)), (op, turn, held)
        for t in op.outputs:
            if t in rings:
                for row in range(turn.row_start, turn.row_stop):
                    rings[t][row % len(rings[t])] = row
        if isinstance(op, PullRows):
            assert turn.row_start == pulled, "rows are pulled once each, from the top"
            pulled = turn.row_stop


@settings(
    max_examples=5 * EXAMPLES, deadline=None, derandomize=True, phases=PHASES, suppress_health_check=list(HealthCheck)
)
@given(graphs(), st.integers(0, 1 << 20))
def test_rows_are_pulled_once_before_use_and_kept_while_needed(graph: Graph, seed: int) -> None:
    pulled = pulled_or_skipped(graph)
    check_turns(pulled, next(random_pulled(pulled, np.random.default_rng(seed))))


@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, phases=PHASES, suppress_health_check=list(HealthCheck)
)
@given(graphs(), st.integers(0, 1 << 20))
def test_random_pulled_graphs_equal_reference(graph: Graph, seed: int) -> None:
    pulled = pulled_or_skipped(graph)
    streams = list(random_pulled(pulled, np.random.default_rng(seed)))
    planned = StreamPlanner(pulled, KernelSet.PORTABLE).plan(streams, exact=False)
    compiled = compile_choice(Choice(planned, "drawn"), optimize(graph, Interface.FLOAT), graph, OPTIONS)
    inputs = random_inputs(graph, seed)
    with tempfile.TemporaryDirectory() as folder:
        (twin,) = build_twins([compiled], Path(folder), optimize="-O1")
        for got, want in zip(twin.run(*inputs), run_graph(graph, inputs), strict=True):
            np.testing.assert_array_equal(got, want)


@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, phases=PHASES, suppress_health_check=list(HealthCheck)
)
@given(graphs(), st.integers(0, 1 << 20), st.sampled_from(["streaming", "patch"]))
def test_chosen_schedules_of_random_graphs_equal_reference(graph: Graph, seed: int, schedule: str) -> None:
    pulled = pulled_or_skipped(graph)
    try:
        choice = choose(pulled, replace(OPTIONS, schedule=schedule), exact=False)
    except UnsupportedError:
        assume(False)
        raise
    compiled = compile_choice(choice, optimize(graph, Interface.FLOAT), graph, OPTIONS)
    inputs = random_inputs(graph, seed)
    with tempfile.TemporaryDirectory() as folder:
        (twin,) = build_twins([compiled], Path(folder), optimize="-O1")
        for got, want in zip(twin.run(*inputs), run_graph(graph, inputs), strict=True):
            np.testing.assert_array_equal(got, want)


def test_chosen_schedules_hold_a_ring_of_the_input(tmp_path: Path) -> None:
    graph = bottlenecks(size=32, name="pulled")
    compiled = compile_graph(graph, graph, OPTIONS)
    planned = choose(pull_input(graph), OPTIONS).planned
    (held,) = (b for b in planned.schedule.buffers if b.kind is BufferKind.INPUT)
    assert (held.rows, held.size_bytes) == (3, 3 * 32 * 3)
    assert compiled.manifest.inputs[0].pulled
    assert compiled.manifest.memory.arena < graph.tensors[graph.inputs[0]].size_bytes
    (twin,) = build_twins([compiled], tmp_path)
    inputs = random_inputs(graph, 1)
    for got, want in zip(twin.run(*inputs), run_graph(graph, inputs), strict=True):
        np.testing.assert_array_equal(got, want)


def of_floats(name: str) -> Graph:
    """A float image that is quantized in C, then two convolutions."""
    m = GraphMaker(seed=3, name=name)
    x = m.conv2d(m.quantize(m.input(1, 32, 24, 3, dtype=DType.FLOAT32)), 4, (3, 3), (2, 2))
    return m.build(m.conv2d(x, 4, (3, 3), (2, 2)))


@pytest.mark.parametrize("make", [lambda name: bottlenecks(size=32, name=name), of_floats], ids=["int8", "float"])
@pytest.mark.parametrize("schedule", ["patch", "patch:3x2", "auto"])
def test_patches_and_auto_pull(schedule: str, make: Callable[[str], Graph], tmp_path: Path) -> None:
    graph = make(f"by {schedule}")
    options = CompileOptions(
        "host", Core.CORTEX_M4, schedule, Interface.FLOAT, Kernels.PORTABLE, sram_bytes=6144, pull_input=True
    )
    compiled = compile_graph(graph, graph, options)
    assert compiled.manifest.schedule == ("streaming" if schedule == "auto" else "patch")
    (twin,) = build_twins([compiled], tmp_path)
    inputs = random_inputs(graph, 1)
    for got, want in zip(twin.run(*inputs), run_graph(graph, inputs), strict=True):
        np.testing.assert_array_equal(got, want)


def test_image_that_is_read_behind_the_patches_is_pulled_to_its_place(tmp_path: Path) -> None:
    """Found by the random graphs: every patch's rows went to the start of the image."""
    m = GraphMaker(name="skipped")
    x = m.input(1, 6, 4, 2)
    graph = m.build(m.concatenate((x, m.pool("max", x, (1, 1))), 1))
    compiled = compile_graph(graph, graph, replace(OPTIONS, schedule="patch:3x1"))
    assert compiled.manifest.schedule == "patch"
    (twin,) = build_twins([compiled], tmp_path)
    inputs = random_inputs(graph, 1)
    np.testing.assert_array_equal(twin.run(*inputs)[0], run_graph(graph, inputs)[0])


def test_row_of_numbers_that_a_reshape_makes_an_image_is_pulled_as_that_image(tmp_path: Path) -> None:
    """Spectrograms come flat, images of one channel from ONNX as [1, 1, H, W]."""
    m = GraphMaker(seed=4, name="spectrogram")
    image = m.reshape(m.input(1, 490), 1, 49, 10, 1)
    graph = m.build(m.conv2d(m.conv2d(image, 8, (10, 4), (2, 2)), 6, (3, 3)))
    compiled = compile_graph(graph, graph, OPTIONS)
    (slot,) = compiled.manifest.inputs
    assert (slot.pulled, slot.shape, slot.model_shape) == (True, (1, 49, 10, 1), (1, 490))
    (twin,) = build_twins([compiled], tmp_path)
    (flat,) = random_inputs(graph, 1)
    np.testing.assert_array_equal(twin.run(flat.reshape(1, 49, 10, 1))[0], run_graph(graph, (flat,))[0])


@pytest.mark.parametrize(("kind", "least"), [("conv2d", "streaming"), ("depthwise", "patch")])
@pytest.mark.parametrize("schedule", ["patch", "streaming", "auto"])
def test_lesser_of_streaming_and_patches_pulls_where_the_other_needs_more_than_per_layer(
    schedule: str, kind: str, least: str
) -> None:
    """Found on micro_speech: patches of its one convolution needed more than to hold the input whole."""
    m = GraphMaker(seed=5, name="spectrogram")
    x = m.input(1, 49, 40, 1)
    x = m.conv2d(x, 8, (10, 8), (2, 2)) if kind == "conv2d" else m.depthwise(x, 8, (10, 8), (2, 2))
    graph = m.build(m.dense(m.reshape(x, 1, 4000), 4))
    found = compile_graph(graph, graph, CompileOptions("host", Core.CORTEX_M4, schedule, pull_input=True)).manifest
    assert (found.schedule, found.inputs[0].pulled) == (least, True)


def test_invoke_returns_what_the_caller_returned_and_refuses_no_function(tmp_path: Path) -> None:
    graph = bottlenecks(size=16, name="broken camera")
    (twin,) = build_twins([compile_graph(graph, graph, OPTIONS)], tmp_path)
    arena = np.zeros(twin.manifest.memory.arena + 16, np.uint8)
    at = ctypes.c_void_p(arena.ctypes.data + -arena.ctypes.data % 16)
    invoke = twin.library["broken_camera_invoke"]
    camera = Camera(random_inputs(graph, 1)[0], fails_at=5)
    assert invoke(at, READ_ROWS(camera.read), None) == 7
    assert camera.next_row == 5
    assert invoke(at, None, None) == -1


def test_header_says_what_the_caller_owes() -> None:
    graph = bottlenecks(size=32, name="told")
    text = header_of(graph, "streaming")
    assert "#define TOLD_INPUT_0_ROWS 32u\n#define TOLD_INPUT_0_ROW_BYTES 96u\n" in text
    assert "INPUT_0_OFFSET" not in text
    assert "typedef int (*told_read_rows_fn)(void *context, void *rows, int32_t row, int32_t count);" in text
    assert "int told_invoke(void *arena, told_read_rows_fn read_rows, void *context);" in text
    assert "int8[1, 32, 32, 3] with channels last" in text
    assert "each once" in text
    assert "patch by patch" in header_of(graph, "patch:2x2")


def header_of(graph: Graph, schedule: str) -> str:
    options = CompileOptions("host", Core.CORTEX_M4, schedule, kernels=Kernels.PORTABLE, pull_input=True)
    compiled = compile_graph(graph, graph, options)
    with zipfile.ZipFile(io.BytesIO(compiled.library_zip)) as archive:
        return archive.read(compiled.manifest.header).decode()


def two_inputs() -> Graph:
    m = GraphMaker(name="two")
    return m.build(m.binary("add", m.input(1, 8, 8, 4), m.input(1, 8, 8, 4)))


def dense() -> Graph:
    m = GraphMaker(name="dense")
    return m.build(m.dense(m.input(1, 64), 8))


def mean_first() -> Graph:
    m = GraphMaker(name="mean")
    return m.build(m.mean(m.input(1, 8, 8, 4), (1, 2)))


@pytest.mark.parametrize(
    ("graph", "why"),
    [(two_inputs(), "it has 2 inputs"), (dense(), r"is \[1, 64\]"), (mean_first(), "Mean .* does not run on rows")],
)
def test_networks_that_cannot_be_pulled_are_refused(graph: Graph, why: str) -> None:
    with pytest.raises(UnsupportedModelError, match=why) as caught:
        compile_graph(graph, graph, OPTIONS)
    assert caught.value.reason == "CANNOT_PULL_INPUT"


def test_per_layer_holds_the_input_whole() -> None:
    graph = bottlenecks()
    options = CompileOptions("host", Core.CORTEX_M4, "per-layer", pull_input=True)
    with pytest.raises(UnsupportedError, match=r"'per-layer' holds the input of 'bottlenecks' whole .every tensor is."):
        compile_graph(graph, graph, options)


@pytest.mark.parametrize("schedule", ["streaming", "patch", "patch:2x2"])
def test_estimate_pulls_as_the_compiler_does(schedule: str) -> None:
    graph = bottlenecks(size=32)
    options = CompileOptions("nucleo-l4r5zi", Core.CORTEX_M4, schedule, pull_input=True)
    found, compiled = estimate(graph, options, exact=True), compile_graph(graph, graph, options)
    assert found.planned.memory.split.arena == compiled.manifest.memory.arena
    assert found.planned.memory.split.input == compiled.manifest.memory.input
    assert found.macs == compiled.manifest.macs
    assert found.instructions > 0
