from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from random import Random

import numpy as np
import pytest
import torch

from services.compiler.estimate import estimate
from services.compiler.ir import ops
from services.compiler.ir.graph import Graph
from services.compiler.ir.tensor import DType, Tensor
from services.compiler.options import CompileOptions, Core, Interface
from services.compiler.passes.optimize import passes_for
from services.compiler.passes.remove_constant_channels import remove_constant_channels
from services.compiler.passes.zero_constant_filters import zero_constant_filters
from services.compiler.pipeline import compile_graph, import_model
from services.search.baselines import Scaled, ds_cnn_sizes, mobilenet_v2_sizes
from services.search.export import export_onnx
from services.search.ports import Candidate
from services.search.space.image import ImageSpace, SpaceChoices, image_spaces
from services.search.space.network import (
    Add,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Network,
    Op,
    RnnPool,
    network_of,
)
from services.search.space.plan import Plan, plan_of
from services.search.space.sample import sample
from services.search.supernet.net import ElasticNet, extract, seeded_net
from tests.search.in_process import quantize, run_onnx
from tests.search.test_supernet import trained_like


def baseline(sizes: Callable[[int, int, int], Iterator[Scaled]], channels: int) -> Plan:
    return list(sizes(28, channels, 10))[-3].plan


def searched(channels: int, seed: int, kind: int) -> Plan:
    """An inverted-bottleneck network (kind 0) or one of separable blocks (kind 1)."""
    space = image_spaces((24, 24, channels), 5, SpaceChoices(width_multipliers=(0.5,)))[-2:][kind]
    return plan_of(space, sample(space, Random(seed)))


PLANS = {
    "gray": searched(1, 1, kind=0),
    "color": searched(3, 2, kind=0),
    "separable": searched(1, 1, kind=1),
    "ds-cnn": baseline(ds_cnn_sizes, 1),
    "mobilenet-v2": baseline(mobilenet_v2_sizes, 3),
}


@pytest.mark.parametrize("name", PLANS)
def test_exported_file_computes_what_torch_computes(name: str) -> None:
    plan = PLANS[name]
    net = trained_like(seeded_net(plan, 5))
    shape = (8, plan.resolution, plan.resolution, plan.input_channels)
    x = np.random.default_rng(0).random(shape, dtype=np.float32)
    with torch.no_grad():
        expected = net(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(run_onnx(export_onnx(net, name), x), expected, rtol=1e-4, atol=1e-4)


def test_exported_subnet_of_a_supernet_keeps_smaller_kernels(space: ImageSpace) -> None:
    supernet: ElasticNet = trained_like(seeded_net(plan_of(space, space.largest()), 3))
    subnet = extract(supernet, plan_of(space, space.smallest()))
    x = np.random.default_rng(0).random((4, 12, 12, 1), dtype=np.float32)
    with torch.no_grad():
        expected = supernet(torch.from_numpy(x).permute(0, 3, 1, 2), subnet.plan).numpy()
    np.testing.assert_allclose(run_onnx(export_onnx(subnet, "small"), x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", PLANS)
def test_network_equals_what_the_compiler_imports_of_the_quantized_file(name: str) -> None:
    plan = PLANS[name]
    samples = np.random.default_rng(0).random((4, plan.resolution, plan.resolution, plan.input_channels), np.float32)
    onnx_file = export_onnx(trained_like(seeded_net(plan, 0)), name)
    quantized = quantize(Candidate(name, onnx_file, samples, samples, np.zeros(4, np.int64)))
    graph = as_estimated(quantized, name)
    network = network_of(plan, name)

    assert [graph.tensors[t].shape for t in graph.inputs] == [network.tensors[t].shape for t in network.inputs]
    assert [op.kind for op in graph.ops] == [type(op).__name__ for op in network.ops]
    for imported, op in zip(graph.ops, network.ops, strict=True):
        ours = [network.tensors[t] for t in (*op.inputs, *op.outputs)]
        theirs = [graph.tensors[t] for t in (*imported.inputs, *imported.outputs)]
        assert [(t.shape, t.dtype.value, t.is_constant) for t in ours] == [
            (t.shape, t.dtype.value, t.is_constant) for t in theirs
        ]
        if isinstance(op, Conv2D | DepthwiseConv2D):
            assert isinstance(imported, ops.Conv2D | ops.DepthwiseConv2D)
            assert imported.stride_hw == op.stride_hw
            assert imported.padding == ops.Padding(op.padding, op.padding, op.padding, op.padding)


def as_estimated(quantized: bytes, name: str) -> Graph:
    """Optimize but for constant channels: a network without weights cannot know which ones training leaves."""
    graph = import_model(quantized, name)
    for rewrite in passes_for(Interface.INT8):
        if rewrite not in (zero_constant_filters, remove_constant_channels):
            graph = rewrite(graph)
    return graph


def compiler_graph(network: Network) -> Graph:
    """The network as the compiler's own value: what packing and unpacking the contract's message amounts to."""
    tensors = {
        i: Tensor(t.name, t.shape, DType(t.dtype.value), is_constant=t.is_constant)
        for i, t in enumerate(network.tensors)
    }
    return Graph(network.name, tensors, tuple(map(compiler_op, network.ops)), network.inputs, network.outputs)


def compiler_op(op: Op) -> ops.Op:
    edges = {"name": op.name, "inputs": op.inputs, "outputs": op.outputs}
    match op:
        case Conv2D():
            return ops.Conv2D(**edges, stride_hw=op.stride_hw, padding=ops.Padding(*[op.padding] * 4))
        case DepthwiseConv2D():
            return ops.DepthwiseConv2D(**edges, stride_hw=op.stride_hw, padding=ops.Padding(*[op.padding] * 4))
        case RnnPool():
            padding = ops.Padding(*[op.padding] * 4)
            return ops.RnnPool(
                **edges, kernel_hw=op.kernel_hw, stride_hw=op.stride_hw, padding=padding, zeta=(1.0, 1.0), nu=(0.0, 0.0)
            )
        case Add():
            return ops.Add(**edges)
        case Mean():
            return ops.Mean(**edges, axes=op.axes)
        case FullyConnected():
            return ops.FullyConnected(**edges)


@pytest.mark.parametrize("name", PLANS)
def test_estimate_of_the_network_is_the_memory_of_the_compiled_file(name: str) -> None:
    plan = PLANS[name]
    samples = np.random.default_rng(0).random((4, plan.resolution, plan.resolution, plan.input_channels), np.float32)
    onnx_file = export_onnx(trained_like(seeded_net(plan, 0)), name)
    quantized = quantize(Candidate(name, onnx_file, samples, samples, np.zeros(4, np.int64)))
    options = CompileOptions(target="nano33ble", core=Core.CORTEX_M4)
    manifest = compile_graph(as_estimated(quantized, name), import_model(quantized, name), options).manifest
    estimated = estimate(compiler_graph(network_of(plan, name)), options, exact=True)
    split = estimated.planned.memory.split
    assert {f.name: getattr(manifest.memory, f.name) for f in fields(split)} == asdict(split)
    assert estimated.macs == manifest.macs
    assert estimated.planned.weights_bytes == manifest.weights_bytes


def test_the_same_network_gives_the_same_bytes() -> None:
    net = seeded_net(PLANS["gray"], 0).eval()
    assert export_onnx(net, "n") == export_onnx(net, "n")
