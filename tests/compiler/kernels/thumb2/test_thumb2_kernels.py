"""Every Thumb-2 kernel on simulated cores, through the whole compiler, against the numpy reference, bit for bit."""

from __future__ import annotations

import os

import numpy as np
import pytest

from services.compiler.estimate import estimate
from services.compiler.ir.activation import Activation
from services.compiler.ir.tensor import DType
from services.compiler.options import CompileOptions, Core, Interface, Kernels
from services.compiler.pipeline import compile_graph
from services.compiler.quant.reference import run_graph
from tests.compiler.graph_maker import GraphMaker, random_inputs
from tests.compiler.kernels.core_runs import GRAPHS, failures, left_to_portable
from tests.compiler.kernels.thumb2.core_cases import CORE_CASES
from tests.cores.packed import PackedBoard

EXAMPLES = int(os.environ.get("TINYFARM_FUZZ_EXAMPLES", "1"))
EVERY = 20
PACK = 64
# every other case; `make fuzz` runs all
ON_M4 = list(GRAPHS)[:: 2 if EXAMPLES == 1 else 1]


@pytest.mark.parametrize("first", range(0, len(ON_M4), PACK))
def test_core_kernels_equal_reference(first: int) -> None:
    assert failures(Core.CORTEX_M4, ON_M4[first : first + PACK]) == []


@pytest.mark.parametrize("core", [Core.CORTEX_M7, Core.CORTEX_M33], ids=lambda core: core.value)
@pytest.mark.parametrize("part", range(1 if EXAMPLES == 1 else EVERY))
def test_other_cores_equal_reference(core: Core, part: int) -> None:
    """A part of the cases, all of them in `make fuzz`: the cores run the same instructions."""
    assert failures(core, list(GRAPHS)[part::EVERY]) == []


@pytest.mark.parametrize("part", range(1 if EXAMPLES == 1 else EVERY))
def test_small_kernels_equal_reference(part: int) -> None:
    """A part of the cases, all of them in `make fuzz`."""
    assert failures(Core.CORTEX_M4, list(GRAPHS)[part::EVERY], Kernels.SMALL) == []


def test_small_kernels_are_smaller_and_need_more_instructions() -> None:
    m = GraphMaker(name="both")
    x = m.conv2d(m.input(1, 12, 12, 8), 16, (1, 1), activation=Activation.RELU)
    graph = m.build(m.conv2d(m.depthwise(x, kernel=(5, 5)), 8, (1, 1)))
    fast, small = (
        estimate(graph, CompileOptions("nucleo-l4r5zi", Core.CORTEX_M4, kernels=kernels))
        for kernels in (Kernels.CORE, Kernels.SMALL)
    )
    assert small.code_bytes < 0.9 * fast.code_bytes
    assert fast.instructions < small.instructions < 1.5 * fast.instructions
    assert small.planned.plan.arena_bytes == fast.planned.plan.arena_bytes


def test_covered_operators_do_without_portable_kernels() -> None:
    assert left_to_portable(Core.CORTEX_M4) == {name for name, case in CORE_CASES.items() if not case.covered}


def test_floats_of_all_kinds_are_quantized_as_by_the_reference() -> None:
    """Halves and their neighbors, what is no number, none at all, too small and too large."""
    m = GraphMaker(name="floats")
    steps = np.arange(-140, 140, 0.5, dtype=np.float32) * np.float32(0.07)
    neighbors = [np.nextafter(steps, np.float32(end)) for end in (-np.inf, np.inf)]
    odd = np.array([np.nan, np.inf, -np.inf, 1e-45, -1e-45, 0.0, -0.0, 1e37, -1e37, 1e9, -1e9], np.float32)
    values = np.concatenate((steps, *neighbors, odd))[None]
    x = m.input(*values.shape, dtype=DType.FLOAT32)
    graph = m.build(m.quantize(x, DType.UINT8), m.quantize(x, DType.INT8))
    options = CompileOptions("nucleo-l4r5zi", Core.CORTEX_M4, interface=Interface.FLOAT)
    with PackedBoard([compile_graph(graph, graph, options)]) as board:
        assert all(map(np.array_equal, board.run(0, (values,)), run_graph(graph, (values,))))


def test_cases_tell_right_from_wrong() -> None:
    """Few outputs are as good as constant, as those of a multiplier of 0 are."""
    flat = [n for n, g in GRAPHS.items() if len(np.unique(run_graph(g, random_inputs(g, 0))[0])) < 3]
    assert len(flat) < len(GRAPHS) // 8
