"""Costs of layers lowered alone are those of the whole network's program."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.compiler.cost.cost_model import code_bytes, work
from services.compiler.cost.layer_cost import network_cost
from services.compiler.estimate import with_quantization
from services.compiler.ir.alone import alone
from services.compiler.options import Core, Kernels, kernel_set
from services.compiler.planned import plan_network
from services.compiler.planner.choose import choose
from tests.compiler.test_estimate_against_compiler import NETWORKS, network, options, without_weights


@pytest.mark.parametrize("kernels", [Kernels.PORTABLE, Kernels.CORE], ids=lambda v: v.value)
@pytest.mark.parametrize("name", [*NETWORKS, "int16 activations"])
def test_costs_of_layers_alone_are_those_of_the_whole_program(name: str, kernels: Kernels) -> None:
    core = Core.CORTEX_M4
    planned = plan_network(without_weights(network(name)), kernel_set(options(core, kernels)), exact=False)
    found, done = network_cost(planned, core), work(planned, core)
    assert (found.weights_bytes, found.tables_bytes) == (planned.weights_bytes, planned.tables_bytes)
    assert found.code_bytes == code_bytes(planned, core)
    assert (found.instructions, found.cycles) == pytest.approx((done.instructions, done.cycles), rel=1e-12)


@pytest.mark.parametrize("schedule", ["streaming", "patch", "patch:2x2"])
@pytest.mark.parametrize("kernels", [Kernels.PORTABLE, Kernels.CORE], ids=lambda v: v.value)
@pytest.mark.parametrize("core", [Core.CORTEX_M4, Core.CORTEX_M0PLUS], ids=lambda v: v.value)
def test_costs_in_turns_are_those_of_the_whole_program(core: Core, kernels: Kernels, schedule: str) -> None:
    graph = without_weights(network("inverted bottlenecks"))
    planned = choose(graph, replace(options(core, kernels), schedule=schedule), exact=False).planned
    assert planned.kind.value == schedule.partition(":")[0]
    found, done = network_cost(planned, core), work(planned, core)
    assert (found.weights_bytes, found.tables_bytes) == (planned.weights_bytes, planned.tables_bytes)
    assert found.code_bytes == code_bytes(planned, core)
    assert (found.instructions, found.cycles) == pytest.approx((done.instructions, done.cycles), rel=1e-12)


def test_equal_operators_are_one_alone_and_those_with_values_none() -> None:
    graph = network("separable audio")
    assert all(alone(graph, op) is None for op in graph.ops if len(op.inputs) == 3)
    bare = without_weights(graph)
    unquantized = bare.with_tensors(
        {t: type(v)(v.name, v.shape, v.dtype, is_constant=v.is_constant) for t, v in bare.tensors.items()}
    )
    like = with_quantization(unquantized)
    depthwise = [alone(like, op) for op in like.ops if op.kind == "DepthwiseConv2D"]
    assert depthwise[0] is not None and all(one is depthwise[1] for one in depthwise[1:])
