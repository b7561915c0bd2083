from collections.abc import Callable, Iterator
from random import Random

import numpy as np
import onnx
import pytest
import torch

from services.search.baselines import Scaled, ds_cnn_sizes, mobilenet_v2_sizes
from services.search.export import export_onnx
from services.search.space.image import ImageSpace, SpaceChoices, image_spaces
from services.search.space.network import network_of
from services.search.space.plan import Plan, plan_of
from services.search.space.sample import sample
from services.search.supernet.net import ElasticNet, extract, seeded_net
from tests.search.in_process import onnx_layers, run_onnx
from tests.search.test_supernet import trained_like


def baseline(sizes: Callable[[int, int, int], Iterator[Scaled]], channels: int) -> Plan:
    return list(sizes(28, channels, 10))[-3].plan


def searched(channels: int, seed: int) -> Plan:
    space = image_spaces((24, 24, channels), 5, SpaceChoices(width_multipliers=(0.5,)))[-1]
    return plan_of(space, sample(space, Random(seed)))


PLANS = {
    "gray": searched(1, 1),
    "color": searched(3, 2),
    "ds-cnn": baseline(ds_cnn_sizes, 1),
    "mobilenet-v2": baseline(mobilenet_v2_sizes, 3),
}


@pytest.mark.parametrize("name", PLANS)
def test_exported_file_computes_what_torch_computes(name: str) -> None:
    plan = PLANS[name]
    net = trained_like(seeded_net(plan, 5))
    shape = (8, plan.input_channels, plan.resolution, plan.resolution)
    x = np.random.default_rng(0).random(shape, dtype=np.float32)
    with torch.no_grad():
        expected = net(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(run_onnx(export_onnx(net, name), x), expected, rtol=1e-4, atol=1e-4)


def test_exported_subnet_of_a_supernet_keeps_smaller_kernels(space: ImageSpace) -> None:
    supernet: ElasticNet = trained_like(seeded_net(plan_of(space, space.largest()), 3))
    subnet = extract(supernet, plan_of(space, space.smallest()))
    x = np.random.default_rng(0).random((4, 1, 12, 12), dtype=np.float32)
    with torch.no_grad():
        expected = supernet(torch.from_numpy(x), subnet.plan).numpy()
    np.testing.assert_allclose(run_onnx(export_onnx(subnet, "small"), x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", PLANS)
def test_network_has_the_layers_and_shapes_of_the_exported_file(name: str) -> None:
    plan = PLANS[name]
    model = onnx.load_from_string(export_onnx(seeded_net(plan, 0).eval(), name))
    shapes = {
        v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim)
        for v in onnx.shape_inference.infer_shapes(model).graph.value_info
    } | {"logits": (1, plan.classes)}
    network = network_of(plan, name)
    layers = onnx_layers(model)
    assert [op.name for op in network.ops][:-1] == [layer.name for layer in layers][:-1]
    for op, layer in zip(network.ops, layers, strict=True):
        shape = network.tensors[op.outputs[0]].shape
        nchw = (shape[0], shape[3], *shape[1:3]) if len(shape) == 4 else shape
        assert nchw == shapes[layer.name]


def test_the_same_network_gives_the_same_bytes() -> None:
    net = seeded_net(PLANS["gray"], 0).eval()
    assert export_onnx(net, "n") == export_onnx(net, "n")
