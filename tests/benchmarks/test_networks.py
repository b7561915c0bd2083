"""The benchmarks' networks are those of the papers, and their activations are alive."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.networks import mcunet_like, mobilenet_v2, plan_graph, resnet18
from services.compiler.ir.graph import Graph
from services.compiler.macs import graph_macs
from services.compiler.quant.reference import run_graph

PUBLISHED = {
    "MobileNetV2 1.0 at 224 (torchvision: 0.30 GMAC, 3.50 M parameters)": (
        lambda: plan_graph(mobilenet_v2(1.0, 224)), 300.8, 3.5,
    ),
    "ResNet-18 at 224 (torchvision: 1.81 GMAC, 11.69 M parameters)": (resnet18, 1814.1, 11.7),
}  # fmt: skip


@pytest.mark.parametrize(("make", "mega_macs", "mega_parameters"), PUBLISHED.values(), ids=PUBLISHED)
def test_network_has_the_published_size(make, mega_macs, mega_parameters):
    graph = make()
    assert graph_macs(graph) / 1e6 == pytest.approx(mega_macs, abs=0.1)
    assert _parameters(graph) / 1e6 == pytest.approx(mega_parameters, abs=0.05)


def test_activations_neither_die_nor_saturate():
    graph = plan_graph(mcunet_like(resolution=48))
    image = np.random.default_rng(0).integers(-128, 128, (1, 48, 48, 3)).astype(np.int8)
    written = tuple(t for op in graph.ops for t in op.outputs)
    for values in run_graph(replace(graph, outputs=written), (image,)):
        assert values.std() > 4
        assert np.mean((values == -128) | (values == 127)) < 0.75


def test_kernels_of_a_wrong_number_are_refused():
    with pytest.raises(ValueError, match="2 kernels for MobileNetV2: must be 17"):
        mobilenet_v2(1.0, 96, kernels=(3, 5))


def _parameters(graph: Graph) -> int:
    return sum(t.elements for t in graph.tensors.values() if t.is_constant)
