"""Estimates of weight-free networks beside what the compiler and the linker then make of them."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from services.common.targets import load_target
from services.compiler.convert.network import network_to_proto
from services.compiler.cost import cost_model
from services.compiler.cost.cost_model import load_cost_table
from services.compiler.estimate import Estimate, estimate, estimate_every
from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.tensor import DType
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.options import CompileOptions, Core, Kernels, kernel_set
from services.compiler.pipeline import compile_graph
from services.compiler.worker import estimate_batch
from services.evaluator.image import build_image
from services.evaluator.library import read_library
from services.evaluator.toolchain import Toolchain
from tests.compiler.graph_maker import GraphMaker
from tinyfarm.v1 import compiler_pb2, schedule_pb2

TARGETS = {
    Core.CORTEX_M0PLUS: "rp2040",
    Core.CORTEX_M4: "nucleo-l4r5zi",
    Core.CORTEX_M7: "stm32h743",
    Core.CORTEX_M33: "nucleo-u575zi",
}
SUBJECTS = [(core, kernels) for kernels in (Kernels.PORTABLE, Kernels.CORE) for core in Core]


def inverted_bottlenecks(m: GraphMaker) -> Graph:
    x = m.conv2d(m.input(1, 32, 32, 3), 8, stride=(2, 2), activation=Activation.RELU6)
    for channels, kernel, stride in ((8, 3, 1), (16, 5, 2), (16, 3, 1), (24, 7, 2), (24, 3, 1)):
        wide = m.conv2d(x, 4 * m.shape(x)[3], (1, 1), activation=Activation.RELU6)
        deep = m.depthwise(wide, kernel=(kernel, kernel), stride=(stride, stride), activation=Activation.RELU6)
        y = m.conv2d(deep, channels, (1, 1))
        x = m.binary("add", x, y) if m.shape(x) == m.shape(y) else y
    flat = m.mean(m.conv2d(x, 96, (1, 1)), (1, 2), keep=False)
    return m.build(m.dense(flat, 10, per_channel=True))


def separable_audio(m: GraphMaker) -> Graph:
    x = m.conv2d(m.input(1, 49, 10, 1), 64, (10, 4), (2, 2), activation=Activation.RELU)
    for _ in range(4):
        x = m.conv2d(m.depthwise(x, activation=Activation.RELU), 64, (1, 1), activation=Activation.RELU)
    pooled = m.pool("average", x, m.shape(x)[1:3], m.shape(x)[1:3])  # type: ignore[arg-type]
    return m.build(m.unary("softmax", m.dense(m.reshape(pooled, 1, m.tensors[pooled].elements), 12)))


def autoencoder(m: GraphMaker) -> Graph:
    x = m.input(1, 320)
    for features in (96, 96, 8, 96, 320):
        x = m.dense(x, features, activation=Activation.RELU)
    return m.build(x)


def detector(m: GraphMaker) -> Graph:
    x = m.conv2d(m.input(1, 24, 32, 3), 12, stride=(2, 2))
    low = m.conv2d(m.pool("max", x, (2, 2), (2, 2)), 12)
    joined = m.binary("add", m.conv2d(x, 12, (1, 1)), m.resize(low, 12, 16))
    return m.build(m.unary("logistic", m.conv2d(joined, 6)), m.unary("hard_swish", m.conv2d(low, 6)))


def int4_weights(m: GraphMaker) -> Graph:
    """Odd channels leave half bytes; the second depthwise layer goes through a plane."""
    x = m.conv2d(m.input(1, 12, 16, 3), 9, stride=(2, 2), weights=DType.INT4, activation=Activation.RELU)
    x = m.depthwise(m.depthwise(x, 3, weights=DType.INT4), kernel=(5, 5), weights=DType.INT4)
    return m.build(m.dense(m.mean(x, (1, 2), keep=False), 7, per_channel=True, weights=DType.INT4))


def int16_activations(m: GraphMaker) -> Graph:
    x = m.conv2d(m.input(1, 25, 10, 1), 8, (10, 4), (2, 2), activation=Activation.RELU)
    x = m.conv2d(m.depthwise(x), 12, (1, 1))
    return m.build(m.unary("softmax", m.dense(m.mean(x, (1, 2), keep=False), 7)))


NETWORKS = {
    "int4 weights": int4_weights,
    "inverted bottlenecks": inverted_bottlenecks,
    "separable audio": separable_audio,
    "autoencoder": autoencoder,
    "detector": detector,
}


def network(name: str) -> Graph:
    if name == "int16 activations":
        return int16_activations(GraphMaker(seed=5, name=name, activations=DType.INT16))
    return NETWORKS[name](GraphMaker(seed=5, name=name))


def without_weights(graph: Graph) -> Graph:
    return replace(graph, tensors={t: replace(v, data=None) for t, v in graph.tensors.items()})


def options(core: Core, kernels: Kernels = Kernels.CORE) -> CompileOptions:
    return CompileOptions(TARGETS[core], core, kernels=kernels)


def estimated(name: str, core: Core, kernels: Kernels = Kernels.CORE, *, exact: bool = False) -> Estimate:
    return estimate(without_weights(network(name)), options(core, kernels), exact=exact)


@pytest.mark.parametrize(
    ("core", "kernels"),
    [(Core.CORTEX_M4, Kernels.PORTABLE), (Core.CORTEX_M4, Kernels.CORE), (Core.CORTEX_M0PLUS, Kernels.CORE)],
    ids=lambda v: v.value,
)
@pytest.mark.parametrize("name", [*NETWORKS, "int16 activations"])
def test_sram_and_constants_equal_the_compilers_to_the_byte(name: str, core: Core, kernels: Kernels) -> None:
    found = estimated(name, core, kernels, exact=True)
    graph = network(name)
    manifest = compile_graph(graph, graph, options(core, kernels)).manifest
    split = found.planned.memory.split
    memory = manifest.memory
    assert (split.input, split.activations, split.scratch, split.arena) == (
        memory.input,
        memory.activations,
        memory.scratch,
        memory.arena,
    )
    assert (found.planned.weights_bytes, found.planned.tables_bytes) == (manifest.weights_bytes, manifest.tables_bytes)
    assert found.macs == manifest.macs
    quick = estimated(name, core, kernels).planned.memory.split.arena
    assert memory.arena <= quick <= memory.arena * 1.03


@pytest.mark.parametrize(("core", "kernels"), SUBJECTS, ids=lambda v: v.value)
@pytest.mark.parametrize("name", ["inverted bottlenecks", "detector", "int4 weights"])
def test_flash_is_within_two_percent_of_the_linked_image(name: str, core: Core, kernels: Kernels, cache: Path) -> None:
    graph = network(name)
    target = load_target(TARGETS[core])
    library = read_library(compile_graph(graph, graph, options(core, kernels)).library_zip)
    sizes = build_image(library, target, Toolchain("zig", cache)).sizes
    found = estimated(name, core, kernels)
    assert found.planned.weights_bytes == sizes.weights
    assert found.planned.tables_bytes == pytest.approx(sizes.tables, abs=64)  # the linker's alignment
    total = found.code_bytes + found.planned.weights_bytes + found.planned.tables_bytes
    assert total == pytest.approx(sizes.flash, rel=0.02)


def test_code_of_a_kernel_that_was_never_measured_is_unknown_and_stops_no_compilation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph, core = network("autoencoder"), Core.CORTEX_M4
    assert compile_graph(graph, graph, options(core)).code_bytes == estimated("autoencoder", core).code_bytes
    table = load_cost_table(core, KernelSet.THUMB2)
    older = replace(table, needs={k: v for k, v in table.needs.items() if k != "tf_fully_connected_thumb2_s8"})
    monkeypatch.setattr(cost_model, "load_cost_table", lambda *_: older)
    assert compile_graph(graph, graph, options(core)).code_bytes is None


def test_int4_weights_take_half_the_flash_of_int8() -> None:
    int4 = network("int4 weights")
    narrow = {t: v for t, v in int4.tensors.items() if v.dtype is DType.INT4}
    int8 = int4.with_tensors({t: replace(v, dtype=DType.INT8) for t, v in narrow.items()})
    filters = [(9, 3 * 3 * 3), (27, 3 * 3), (27, 5 * 5), (7, 27)]
    portable = options(Core.CORTEX_M4, Kernels.PORTABLE)
    found = [estimate(without_weights(g), portable).planned.weights_bytes for g in (int8, int4)]
    assert found[0] - found[1] == sum(count // 2 * taps for count, taps in filters)


def test_estimate_of_a_quantized_network_sees_which_kernels_its_scales_rule_out() -> None:
    m = GraphMaker(seed=2, name="coarse")
    x = m.conv2d(m.input(1, 12, 12, 4), 8, (1, 1))
    graph = m.build(m.depthwise(m.depthwise(x)))
    coarse = graph.ops[1].output
    quant = graph.tensors[coarse].quant
    assert quant is not None
    # an output scale this fine asks for multipliers above 1: left shifts
    finer = replace(graph.tensors[coarse], quant=replace(quant, scale=(quant.scale[0] / 4096,)))
    graph = graph.with_tensors({**graph.tensors, coarse: finer})
    compiled = compile_graph(graph, graph, options(Core.CORTEX_M4))
    found = estimate(without_weights(graph), options(Core.CORTEX_M4), exact=True)
    functions = found.planned.program.functions()
    assert "tf_depthwise_thumb2_s8" in functions and len([f for f in functions if "depthwise" in f]) == 2
    assert found.code_bytes == compiled.code_bytes
    assert found.planned.memory.split.arena == compiled.manifest.memory.arena


def test_larger_networks_cost_more() -> None:
    small, large = (estimated(name, Core.CORTEX_M4) for name in ("autoencoder", "inverted bottlenecks"))
    assert 0 < small.instructions < large.instructions
    assert 0 < small.cycles < large.cycles


SCHEDULES = {
    "streaming": ("streaming", None),
    "streaming within a budget": ("streaming", 12_000),
    "patch": ("patch", None),
    "patch within a budget": ("patch", 20_000),
    "patch:2x2": ("patch:2x2", None),
    "auto within a budget": ("auto", 12_000),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", ["inverted bottlenecks", "separable audio"])
def test_schedules_are_the_compilers_to_the_byte(name: str, schedule: str) -> None:
    kind, budget = SCHEDULES[schedule]
    asked = replace(options(Core.CORTEX_M4), schedule=kind, sram_budget_bytes=budget)
    graph = network(name)
    manifest = compile_graph(graph, graph, asked).manifest
    found = estimate(without_weights(graph), asked, exact=True)
    memory, split = manifest.memory, found.planned.memory.split
    assert (split.input, split.activations, split.line_buffers, split.scratch) == (
        memory.input,
        memory.activations,
        memory.line_buffers,
        memory.scratch,
    )
    assert (found.weights_bytes, found.tables_bytes) == (manifest.weights_bytes, manifest.tables_bytes)
    assert (found.macs, found.reason) == (manifest.macs, manifest.schedule_reason)
    assert [layer.live_bytes for layer in found.layers] == [layer.live_bytes for layer in manifest.layers]


@pytest.mark.parametrize("budget", [None, 8_000])
def test_every_schedule_costs_what_it_costs_when_it_is_asked_for(budget: int | None) -> None:
    graph = without_weights(network("inverted bottlenecks"))
    asked = replace(options(Core.CORTEX_M4), sram_budget_bytes=budget)
    found = {one.planned.kind.value: one for one in estimate_every(graph, asked)[1]}
    assert list(found) == ["per-layer", "patch", "streaming"]
    for kind, one in found.items():
        alone = estimate(graph, replace(asked, schedule=kind))
        assert (one.planned.memory, one.planned.plan) == (alone.planned.memory, alone.planned.plan)
        assert (one.macs, one.instructions, one.reason) == (alone.macs, alone.instructions, alone.reason)


def test_service_answers_for_every_schedule() -> None:
    graph = without_weights(network("inverted bottlenecks"))
    request = compiler_pb2.EstimateRequest(
        networks=[network_to_proto(graph)], target="nucleo-l4r5zi", every_schedule=True
    )
    (answer,) = compiler_pb2.EstimateResponse.FromString(estimate_batch(request.SerializeToString())).estimates
    per_layer, patch, streaming = answer.schedules
    kinds = [schedule_pb2.STAGE_KIND_PER_LAYER, schedule_pb2.STAGE_KIND_PATCH, schedule_pb2.STAGE_KIND_STREAMING]
    assert [one.kind for one in answer.schedules] == kinds
    assert (per_layer.sram, per_layer.macs, per_layer.cycles) == (answer.sram, answer.macs, answer.cycles)
    assert streaming.sram.arena < patch.sram.arena < per_layer.sram.arena
    assert patch.macs > streaming.macs == per_layer.macs
    assert answer.schedule_reason.startswith("per-layer: it fits")


def test_estimate_travels_between_processes() -> None:
    graph = without_weights(network("detector"))
    assert pickle.loads(pickle.dumps(graph)) == graph


def test_kernels_of_the_core_are_estimated_faster_than_portable_ones() -> None:
    for core in Core:
        own, portable = (estimated("separable audio", core, kernels) for kernels in (Kernels.CORE, Kernels.PORTABLE))
        assert own.instructions < 0.7 * portable.instructions
        assert own.cycles < 0.7 * portable.cycles


def test_relu_of_an_unquantized_network_needs_no_limits() -> None:
    graph = without_weights(network("inverted bottlenecks"))
    bare = graph.with_tensors({t: replace(v, quant=None) for t, v in graph.tensors.items()})
    assert "tf_limit_s8" not in estimate(bare, options(Core.CORTEX_M4)).planned.program.functions()


@pytest.mark.parametrize(("core", "kernels"), SUBJECTS, ids=lambda v: v.value)
def test_tables_state_their_source_and_error(core: Core, kernels: Kernels) -> None:
    table = load_cost_table(core, kernel_set(options(core, kernels)))
    assert "benchmarks.cost_table" in table.source
    assert table.error["held-out networks flash worst"] < 0.02
    assert all(value >= 0 for value in (*table.instructions.values(), *table.cycles.values()))
