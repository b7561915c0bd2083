"""Sums of images on a simulated core, quarter by quarter: rows that end before the image's do."""

from __future__ import annotations

import numpy as np
import pytest

from services.compiler import planned
from services.compiler.ir.graph import Graph
from services.compiler.options import CompileOptions, Core, Interface
from services.compiler.pipeline import compile_graph
from services.compiler.planner import choose
from services.compiler.quant.reference import run_graph
from tests.compiler.graph_maker import GraphMaker, random_inputs
from tests.compiler.kernels.test_regions import in_quarters
from tests.cores.packed import PackedBoard

OPTIONS = CompileOptions("nucleo-l4r5zi", Core.CORTEX_M4, interface=Interface.FLOAT)
# odd widths, channels beside words, and rows of more pixels than an int16 holds the sum of
IMAGES = (7, 6, 9), (1, 5, 4), (15, 17, 8), (2, 600, 5), (40, 33, 4), (3, 3, 3)


def sums_of(number: int, image: tuple[int, int, int]) -> Graph:
    m = GraphMaker(seed=number, name=f"sums {number}")
    return m.build(m.mean_in_halves(m.input(1, *image)))


def test_sums_of_quarters_are_those_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "plan_network", lambda *args, **kw: in_quarters(planned.plan_network(*args, **kw)))
    graphs = [sums_of(number, image) for number, image in enumerate(IMAGES)]
    compiled = [compile_graph(graph, graph, OPTIONS) for graph in graphs]
    assert all("tf_image_sums_thumb2_s8.c" in one.manifest.sources for one in compiled)
    with PackedBoard(compiled) as board:
        for number, graph in enumerate(graphs):
            inputs = random_inputs(graph, number)
            lowest = tuple(np.full_like(x, -128) for x in inputs)
            for values in (inputs, lowest):
                assert all(map(np.array_equal, board.run(number, values), run_graph(graph, values))), graph.name
