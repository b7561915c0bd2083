from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from services.common.errors import FarmError
from services.compiler.estimate import estimate
from services.compiler.importers.onnx import import_onnx
from services.compiler.ir import ops
from services.compiler.ir.graph import Graph
from services.compiler.macs import graph_macs
from services.compiler.options import CompileOptions, Core, Interface, Kernels
from services.compiler.passes.optimize import optimize
from services.compiler.pipeline import compile_graph, import_model
from services.compiler.planned import plan_network
from services.compiler.quant.reference import run_graph
from services.compiler.quantize import quantize_onnx
from services.search.export import export_onnx
from services.search.export_torch import export_torch
from services.search.operators.rnn_pool import RnnPool
from services.search.space.network import network_of
from services.search.space.plan import BlockPlan, ConvPlan, Plan, RnnPoolPlan
from services.search.space.receptive_field import plan_macs, sight
from services.search.supernet.net import ElasticNet, extract, seeded_net
from tests.compiler.host_twin import build_twins
from tests.search.in_process import run_onnx
from tests.search.test_export import compiler_graph
from tests.search.test_supernet import trained_like

PLAN = Plan(
    24,
    3,
    4,
    (
        BlockPlan((ConvPlan("stem", 3, 8, kernel=3, stride=2),), pool=RnnPoolPlan("pool", 8, 6, 5, 4, 2, padding=1)),
        BlockPlan((ConvPlan("last", 20, 12, kernel=1),)),
    ),
)
ON_IMAGE = Plan(
    24,
    3,
    4,
    (BlockPlan((), pool=RnnPoolPlan("pool", 3, 6, 5, 8, 8)), BlockPlan((ConvPlan("last", 20, 12, kernel=1),))),
)
PLANS = {"behind a convolution": PLAN, "on the image": ON_IMAGE}
OPTIONS = CompileOptions("host", Core.CORTEX_M4, interface=Interface.INT8, kernels=Kernels.PORTABLE)


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 24, 24, 3), dtype=np.float32)


def trained(plan: Plan) -> ElasticNet:
    net = trained_like(seeded_net(plan, 5))
    with torch.no_grad():
        net.pool("pool").sweep.nu_logit.copy_(torch.tensor(-1.5))
    return net


def logits(net: ElasticNet, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return net(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()


def quantized_graph(net: ElasticNet) -> Graph:
    model = quantize_onnx(export_onnx(net, "net"), images(16))
    return optimize(import_model(model, "net"), Interface.INT8)


@pytest.mark.parametrize("name", PLANS)
def test_exported_file_computes_what_torch_computes(name):
    net = trained(PLANS[name])
    np.testing.assert_allclose(run_onnx(export_onnx(net, "net"), images(4)), logits(net, images(4)), atol=1e-5)


def test_network_of_any_make_is_exported_with_its_pool_as_one_operator():
    torch.manual_seed(7)
    pool = RnnPool(RnnPoolPlan("pool", 8, 6, 5, patch=4, stride=2, padding=1))
    stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
    net = nn.Sequential(stem, pool, nn.Conv2d(20, 12, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = export_torch(net, torch.zeros(1, 3, 24, 24))
    x = torch.from_numpy(images(4)).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = net.eval()(x).numpy()
    np.testing.assert_allclose(run_onnx(model, x.numpy()), expected, atol=1e-5)
    graph = optimize(import_model(quantize_onnx(model, images(16).transpose(0, 3, 1, 2)), "net"), Interface.INT8)
    assert [op.kind for op in graph.ops].count("RnnPool") == 1
    with pytest.raises(FarmError, match=r"\[1, C, H, W\]"):
        export_torch(net, torch.zeros(2, 3, 24, 24))


@pytest.mark.parametrize("name", PLANS)
def test_quantized_network_is_close_and_its_c_is_exact(name, tmp_path):
    net = trained(PLANS[name])
    graph = quantized_graph(net)
    assert "RnnPool" in [op.kind for op in graph.ops]
    compiled = compile_graph(graph, graph, OPTIONS)
    (twin,) = build_twins([compiled], tmp_path)
    (source,), (result,) = ([graph.tensors[t] for t in ids] for ids in (graph.inputs, graph.outputs))
    x = images(8, seed=1)
    pixels = np.clip(np.rint(x / source.quant.scale[0]) + source.quant.zero_point[0], -128, 127).astype(np.int8)
    answers = [run_graph(graph, (sample[None],))[0] for sample in pixels]
    real = (np.concatenate(answers) - float(result.quant.zero_point[0])) * result.quant.scale[0]
    expected = logits(net, x)
    assert np.abs(real - expected).max() < 0.1 * np.abs(expected).max()
    for sample, answer in zip(pixels, answers, strict=True):
        np.testing.assert_array_equal(twin.run(sample[None])[0], answer)


@pytest.mark.parametrize("name", PLANS)
def test_network_is_what_the_compiler_imports(name):
    plan = PLANS[name]
    graph, network = quantized_graph(trained(plan)), network_of(plan, "net")
    assert [op.kind for op in graph.ops] == [type(op).__name__ for op in network.ops]
    for imported, op in zip(graph.ops, network.ops, strict=True):
        assert [graph.tensors[t].shape for t in imported.inputs] == [network.tensors[t].shape for t in op.inputs]
    estimated = estimate(compiler_graph(network), OPTIONS)
    planned = plan_network(graph, exact=False)
    assert estimated.planned.memory == planned.memory
    assert estimated.planned.weights_bytes == planned.weights_bytes
    assert estimated.macs == graph_macs(graph) == plan_macs(plan)


def test_gradients_reach_every_parameter():
    net = seeded_net(PLAN, 1).train()
    net(torch.from_numpy(images(4)).permute(0, 3, 1, 2)).square().sum().backward()
    for name, parameter in net.pools.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_pool_of_an_extracted_network_keeps_its_weights():
    net = trained(PLAN)
    np.testing.assert_array_equal(logits(extract(net, PLAN).eval(), images(2)), logits(net, images(2)))


def test_receptive_field_counts_the_patch():
    assert sight(PLAN.blocks).receptive_field == 3 + 3 * 2
    assert sight(PLAN.blocks).jump == 4


def with_function(change) -> bytes:
    model = onnx.load_from_string(export_onnx(trained(PLAN), "net"))
    change(model.functions[0])
    return model.SerializeToString()


def renamed(function) -> None:
    function.name = "Other"


def other_body(function) -> None:
    next(n for n in function.node if n.op_type == "Conv").op_type = "ConvInteger"


@pytest.mark.parametrize(("change", "told"), [(renamed, "tinyfarm.Other"), (other_body, "body of local function")])
def test_functions_of_another_meaning_are_refused(change, told):
    with pytest.raises(FarmError, match=told):
        import_onnx(with_function(change), "net")


BROKEN_NODES = {
    "number of inputs": lambda node: node.input.pop(),
    "kernel_shape": lambda node: node.attribute[0].ints.pop(),
    "zeta of RnnPool": lambda node: next(a for a in node.attribute if a.name == "zeta").floats.pop(),
}


@pytest.mark.parametrize("told", BROKEN_NODES)
def test_broken_nodes_are_refused(told):
    model = onnx.load_from_string(quantize_onnx(export_onnx(trained(PLAN), "net"), images(2)))
    BROKEN_NODES[told](next(node for node in model.graph.node if node.op_type == "RnnPool"))
    with pytest.raises(FarmError, match=told):
        import_onnx(model.SerializeToString(), "net")


def test_a_block_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no layers"):
        BlockPlan(())


def test_zeta_and_nu_of_the_file_are_kept():
    net = trained(PLAN)
    (op,) = (op for op in quantized_graph(net).ops if isinstance(op, ops.RnnPool))
    pool = net.pool("pool")
    cells = pool.sweep, pool.summary
    assert op.zeta == pytest.approx([c.zeta.item() for c in cells])
    assert op.nu == pytest.approx([c.nu.item() for c in cells])
    assert replace(op, zeta=(0, 0), nu=(0, 0)).stride_hw == (2, 2)
