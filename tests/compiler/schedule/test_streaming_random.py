"""Random graphs with random streamed stages, against the numpy reference, bit for bit.

TINYFARM_FUZZ_EXAMPLES multiplies the number of graphs (`make fuzz`).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.compiler.choose import Choice
from services.compiler.ir.graph import Graph
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.options import CompileOptions, Core, Interface, Kernels
from services.compiler.passes.optimize import optimize
from services.compiler.pipeline import compile_choice
from services.compiler.planned import StreamPlanner
from services.compiler.quant.reference import run_graph
from services.compiler.schedule.rows import is_row_wise
from services.compiler.schedule.streaming import Stream, stream
from tests.compiler.graph_maker import random_inputs
from tests.compiler.host_twin import build_twins
from tests.compiler.test_pipeline_random import PHASES, graphs

EXAMPLES = 20 * int(os.environ.get("TINYFARM_FUZZ_EXAMPLES", "1"))
OPTIONS = CompileOptions("host", Core.CORTEX_M4, interface=Interface.FLOAT, kernels=Kernels.PORTABLE)


def random_streams(graph: Graph, random: np.random.Generator) -> Iterator[Stream]:
    """Yield stages over runs of row-wise operators, some left out."""
    at = 0
    while at < len(graph.ops):
        stop = at
        while stop < len(graph.ops) and is_row_wise(graph, graph.ops[stop]):
            stop += 1
        if stop == at:
            at += 1
            continue
        stop = int(random.integers(at + 1, stop + 1))
        if random.random() < 0.8:
            yield stream(graph, at, stop, int(random.integers(1, 5)))
        at = stop


@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, phases=PHASES, suppress_health_check=list(HealthCheck)
)
@given(graphs(), st.integers(0, 1 << 20))
def test_random_streams_equal_reference(graph: Graph, seed: int) -> None:
    optimized = optimize(graph, Interface.FLOAT)
    streams = list(random_streams(optimized, np.random.default_rng(seed)))
    planned = StreamPlanner(optimized, KernelSet.PORTABLE).plan(streams, exact=False)
    compiled = compile_choice(Choice(planned, "drawn"), optimized, graph, OPTIONS)
    inputs = random_inputs(graph, seed)
    with tempfile.TemporaryDirectory() as folder:
        (twin,) = build_twins([compiled], Path(folder), optimize="-O1")
        for got, want in zip(twin.run(*inputs), run_graph(graph, inputs), strict=True):
            np.testing.assert_array_equal(got, want)
