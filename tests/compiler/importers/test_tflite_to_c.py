"""From the .tflite file to compiled C: every operator's library equals TFLM bit for bit on the host."""

from __future__ import annotations

import numpy as np
import pytest

from services.compiler.options import CompileOptions, Core, Interface, Kernels
from services.compiler.passes.optimize import optimize
from services.compiler.pipeline import compile_graph, import_model
from tests.compiler.host_twin import HostTwin, build_twins
from tests.compiler.oracle import Tflm, random_inputs
from tests.compiler.tflite_cases import CASES

OPTIONS = CompileOptions("host", Core.CORTEX_M0PLUS, interface=Interface.FLOAT, kernels=Kernels.PORTABLE)


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, HostTwin]:
    """All cases in one shared object: one build."""
    compiled = []
    for index, build in enumerate(CASES.values()):
        graph = import_model(build(), f"case_{index}")
        compiled.append(compile_graph(optimize(graph, OPTIONS.interface), graph, OPTIONS))
    return dict(zip(CASES, build_twins(compiled, tmp_path_factory.mktemp("cases"), optimize="-O1"), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_c_equals_tflm(name: str, twins: dict[str, HostTwin]) -> None:
    model = CASES[name]()
    graph = import_model(model, name)
    oracle = Tflm(model)
    for seed in range(3):
        inputs = random_inputs(graph, seed)
        expected = oracle.run(inputs, len(graph.outputs))
        for ours, theirs in zip(twins[name].run(*inputs), expected, strict=True):
            np.testing.assert_array_equal(ours.reshape(-1), theirs.reshape(-1))
