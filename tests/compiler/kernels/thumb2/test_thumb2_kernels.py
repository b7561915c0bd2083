"""Every Thumb-2 kernel on simulated cores, through the whole compiler, against the numpy reference, bit for bit."""

from __future__ import annotations

import os

import numpy as np
import pytest

from services.compiler.options import Core
from services.compiler.quant.reference import run_graph
from tests.compiler.graph_maker import random_inputs
from tests.compiler.kernels.core_runs import GRAPHS, failures, left_to_portable
from tests.compiler.kernels.thumb2.core_cases import CORE_CASES

EXAMPLES = int(os.environ.get("TINYFARM_FUZZ_EXAMPLES", "1"))
EVERY = 10
PACK = 64


@pytest.mark.parametrize("first", range(0, len(GRAPHS), PACK))
def test_core_kernels_equal_reference(first: int) -> None:
    assert failures(Core.CORTEX_M4, list(GRAPHS)[first : first + PACK]) == []


@pytest.mark.parametrize("core", [Core.CORTEX_M7, Core.CORTEX_M33], ids=lambda core: core.value)
@pytest.mark.parametrize("part", range(1 if EXAMPLES == 1 else EVERY))
def test_other_cores_equal_reference(core: Core, part: int) -> None:
    """A part of the cases, all of them in `make fuzz`: the cores run the same instructions."""
    assert failures(core, list(GRAPHS)[part::EVERY]) == []


def test_covered_operators_do_without_portable_kernels() -> None:
    assert left_to_portable(Core.CORTEX_M4) == {name for name, case in CORE_CASES.items() if not case.covered}


def test_cases_tell_right_from_wrong() -> None:
    """Few outputs are as good as constant, as those of a multiplier of 0 are."""
    flat = [n for n, g in GRAPHS.items() if len(np.unique(run_graph(g, random_inputs(g, 0))[0])) < 3]
    assert len(flat) < len(GRAPHS) // 8
