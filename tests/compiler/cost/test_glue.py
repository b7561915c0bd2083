"""Code around kernels where layers take turns: what is counted, and what is modelled beside what is linked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.code_size import measure
from benchmarks.cost_measured import Subject
from services.compiler.cost import cost_model
from services.compiler.cost.cost_model import glue_counts, known_code_bytes, load_cost_table
from services.compiler.ir.graph import Graph
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.options import Core, Kernels
from services.compiler.planned import Planned, StreamPlanner
from services.compiler.schedule.patches import patches
from services.compiler.schedule.streaming import stream
from tests.compiler.graph_maker import GraphMaker
from tests.compiler.test_estimate_against_compiler import SUBJECTS, network
from tests.cores.packed import CACHE


def two_pools_and_a_mean() -> Graph:
    m = GraphMaker(name="pools")
    x = m.pool("max", m.pool("max", m.input(1, 16, 16, 4), (3, 3)), (2, 2), (2, 2))
    return m.build(m.mean(x, (1, 2)))


def streamed() -> Planned:
    graph = two_pools_and_a_mean()
    return StreamPlanner(graph, KernelSet.PORTABLE).plan([stream(graph, 0, 2, 3)], exact=False)


def in_patches() -> Planned:
    graph = two_pools_and_a_mean()
    found = patches(graph, 2, (2, 2))
    assert found is not None
    return StreamPlanner(graph, KernelSet.PORTABLE).plan_patches([found], exact=False)


def counted(planned: Planned) -> dict[str, int]:
    return {name: count for name, count in glue_counts(planned).items() if count}


PER_LAYER = {"network": 1, "layers": 1, "calls": 1, "pointers": 2}


def test_rings_are_counted_by_layer_that_uses_them() -> None:
    """The pools share a ring of six rows, of which the second reads every other; the mean is a layer of its own."""
    stage = {"streaming stages": 1, "streaming steps": 2}
    layers = {"streaming layers": 2, "streaming calls": 2, "streaming pointers": 4}
    assert counted(streamed()) == {
        **PER_LAYER, **stage, **layers, "rings": 2, "ring divisions": 2, "wide ring divisions": 1,
        "first rows": 1, "ring ends": 1,
    }  # fmt: skip


def test_patches_are_counted_by_layer_that_uses_them() -> None:
    stage = {"patch stages": 1, "patch steps": 2}
    layers = {"patch layers": 2, "patch calls": 2, "patch pointers": 4}
    assert counted(in_patches()) == {**PER_LAYER, **stage, **layers, "patches": 2}


@pytest.mark.parametrize(("core", "kernels"), SUBJECTS, ids=lambda v: v.value)
def test_tables_know_all_glue(core: Core, kernels: Kernels) -> None:
    table = load_cost_table(core, Subject(core, kernels).kernel_set)
    assert table.glue_bytes.keys() >= glue_counts(streamed()).keys() | glue_counts(in_patches()).keys()


def test_code_with_glue_that_was_never_measured_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    table = load_cost_table(Core.CORTEX_M4)
    older = replace(table, glue_bytes={k: v for k, v in table.glue_bytes.items() if not k.startswith("streaming")})
    monkeypatch.setattr(cost_model, "load_cost_table", lambda *_: older)
    assert known_code_bytes(streamed(), Core.CORTEX_M4) is None
    assert known_code_bytes(in_patches(), Core.CORTEX_M4) is not None


def test_only_a_core_that_cannot_divide_links_division_for_rings() -> None:
    assert {core: bool(load_cost_table(core).needs["tf_ring"]) for core in Core} == {
        core: core is Core.CORTEX_M0PLUS for core in Core
    }


IN_TURNS = {
    "streaming on Cortex-M4": ("streaming", Core.CORTEX_M4, Kernels.CORE),
    "patches on Cortex-M7": ("patch:2x2", Core.CORTEX_M7, Kernels.CORE),
    "pulled and streamed on Cortex-M0+": ("streaming --pull-input", Core.CORTEX_M0PLUS, Kernels.CORE),
    "patches in portable C on Cortex-M33": ("patch:2x2", Core.CORTEX_M33, Kernels.PORTABLE),
}


@pytest.mark.parametrize("case", IN_TURNS)
def test_code_in_turns_is_within_three_percent_of_what_is_linked(case: str) -> None:
    schedule, core, kernels = IN_TURNS[case]
    found = measure(network("inverted bottlenecks"), schedule, Subject(core, kernels), Path(CACHE))
    assert abs(found.code_error) < 0.03, found
