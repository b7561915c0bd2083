"""Every Thumb-2 kernel on simulated cores, through the whole compiler, against the numpy reference, bit for bit."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pytest

from services.compiler.options import CompileOptions, Core, Interface, Kernels
from services.compiler.pipeline import Compiled, compile_graph
from services.compiler.quant.reference import run_graph
from tests.compiler.graph_maker import random_inputs
from tests.compiler.kernels.thumb2.core_cases import CORE_CASES
from tests.cores.packed import PackedBoard

TARGETS = {
    Core.CORTEX_M4: "nucleo-l4r5zi",
    Core.CORTEX_M7: "stm32f746",
    Core.CORTEX_M33: "nucleo-u575zi",
}
EXAMPLES = int(os.environ.get("TINYFARM_FUZZ_EXAMPLES", "1"))
EVERY = 10
# portable kernels that these cores have better ones for
REPLACED = {
    "tf_conv2d_s8.c",
    "tf_depthwise_conv2d_s8.c",
    "tf_depthwise_conv2d_plane_s8.c",
    "tf_fully_connected_s8.c",
    "tf_add_s8.c",
}
GRAPHS = {name: case.graph(number) for number, (name, case) in enumerate(CORE_CASES.items())}
PACK = 64


def compiled_for(core: Core, name: str) -> Compiled:
    options = CompileOptions(TARGETS[core], core, interface=Interface.FLOAT, kernels=Kernels.CORE)
    return compile_graph(GRAPHS[name], GRAPHS[name], options)


def failures(core: Core, names: Sequence[str]) -> list[str]:
    """Return the cases whose outputs differ for bytes of all values or for the ends of int8 only."""
    failed = []
    with PackedBoard([compiled_for(core, name) for name in names]) as board:
        for number, name in enumerate(names):
            graph = GRAPHS[name]
            inputs = random_inputs(graph, number)
            ends = tuple(np.where(x % 2 == 0, -128, 127).astype(np.int8) for x in inputs)
            right = all(map(np.array_equal, board.run_by_layer(number, inputs), run_graph(graph, inputs)))
            if not right or not all(map(np.array_equal, board.run(number, ends), run_graph(graph, ends))):
                failed.append(name)
    return failed


@pytest.mark.parametrize("first", range(0, len(GRAPHS), PACK))
def test_core_kernels_equal_reference(first: int) -> None:
    assert failures(Core.CORTEX_M4, list(GRAPHS)[first : first + PACK]) == []


@pytest.mark.parametrize("core", [Core.CORTEX_M7, Core.CORTEX_M33], ids=lambda core: core.value)
@pytest.mark.parametrize("part", range(1 if EXAMPLES == 1 else EVERY))
def test_other_cores_equal_reference(core: Core, part: int) -> None:
    """A part of the cases, all of them in `make fuzz`: the cores run the same instructions."""
    assert failures(core, list(GRAPHS)[part::EVERY]) == []


def test_covered_operators_do_without_portable_kernels() -> None:
    sources = {name: set(compiled_for(Core.CORTEX_M4, name).manifest.sources) for name in GRAPHS}
    assert [n for n, case in CORE_CASES.items() if case.covered == bool(sources[n] & REPLACED)] == []


def test_cases_tell_right_from_wrong() -> None:
    """Few outputs are as good as constant, as those of a multiplier of 0 are."""
    flat = [n for n, g in GRAPHS.items() if len(np.unique(run_graph(g, random_inputs(g, 0))[0])) < 3]
    assert len(flat) < len(GRAPHS) // 8
