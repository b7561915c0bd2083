"""Every kernel computes any part of its output: quarters, one by one and in any order, make the same whole.

Sums of an image begin with its top left quarter. A transposition in place has no parts.

Without overlap of outputs and inputs: a kernel that overwrites its input needs the whole of it, in order.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from services.compiler import pipeline, planned
from services.compiler.codegen.program import KernelCall, Program, RegionArg
from services.compiler.planner import choose
from services.compiler.quant.reference import run_graph
from tests.compiler.graph_maker import GraphMaker, random_inputs
from tests.compiler.host_twin import build_twins
from tests.compiler.kernels.test_kernels_against_reference import CASES, OPTIONS

FROM_THE_TOP_LEFT = ("tf_image_sums_s8", "tf_image_sums_thumb2_s8")
WHOLE = ("tf_transpose_image_s8",)


def halves(span: tuple[int, int]) -> list[tuple[int, int]]:
    start, stop = span
    middle = (start + stop) // 2
    return [part for part in ((middle, stop), (start, middle)) if part[0] < part[1]]


def by_quarters(call: KernelCall) -> list[KernelCall]:
    if call.function in WHOLE:
        return [call]
    parts = product(halves(call.region.rows), halves(call.region.cols))
    calls = [replace(call, region=RegionArg(rows, cols)) for rows, cols in parts]
    return calls[::-1] if call.function in FROM_THE_TOP_LEFT else calls


def in_quarters(whole: planned.Planned) -> planned.Planned:
    layers = tuple(
        replace(layer, calls=tuple(part for call in layer.calls for part in by_quarters(call)))
        for layer in whole.program.layers
    )
    return whole.with_program(Program(layers))


def test_quarters_equal_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planned.OverlapRules, "of", lambda *_: ())
    monkeypatch.setattr(choose, "plan_network", lambda *args, **kw: in_quarters(planned.plan_network(*args, **kw)))
    graphs = [CASES[name](GraphMaker(seed=n, name=f"regions {n}")) for n, name in enumerate(CASES)]
    compiled = [pipeline.compile_graph(graph, graph, OPTIONS) for graph in graphs]
    failed = []
    for name, graph, twin in zip(CASES, graphs, build_twins(compiled, tmp_path), strict=True):
        inputs = random_inputs(graph, 1)
        if not all(map(np.array_equal, twin.run(*inputs), run_graph(graph, inputs))):
            failed.append(name)
    assert failed == []


@pytest.mark.parametrize("span", [(0, 1), (0, 2), (3, 8)])
def test_halves_cover_the_span(span: tuple[int, int]) -> None:
    assert sorted(i for start, stop in halves(span) for i in range(start, stop)) == list(range(*span))
