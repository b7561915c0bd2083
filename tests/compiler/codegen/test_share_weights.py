from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.compiler.codegen.program import Section
from services.compiler.codegen.share_weights import share_weights
from services.compiler.ir import ops
from services.compiler.ir.graph import Graph
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.options import CompileOptions, Core, Kernels
from services.compiler.pipeline import compile_graph
from services.compiler.planned import plan_network
from services.compiler.quant.reference import run_graph
from tests.compiler.graph_maker import GraphMaker, random_inputs
from tests.compiler.host_twin import build_twins


def two_heads(*, same: bool) -> Graph:
    """Two convolutions of like inputs; with `same`, of equal scales and of equal weights in constants of their own."""
    make = GraphMaker(1)
    x = make.input(1, 4, 4, 3)
    first = make.conv2d(x, 4)
    pooled = make.pool("max", x, (2, 2), (2, 2))
    second = make.conv2d(pooled, 4)
    op, other = (o for o in make.ops if isinstance(o, ops.Conv2D))
    if same:
        for ours, theirs in zip(other.inputs[1:], op.inputs[1:], strict=True):
            make.tensors[ours] = replace(make.tensors[theirs], data=np.array(make.tensors[theirs].data))
        make.tensors[second] = replace(make.tensors[second], quant=make.tensors[first].quant)
    return make.build(first, second)


@pytest.mark.parametrize("kernels", KernelSet)
def test_equal_weights_are_one_array(kernels: KernelSet) -> None:
    program = plan_network(two_heads(same=True), kernels).program
    shared = share_weights(program)
    sizes, before = ([a.size_bytes for a in p.arrays(Section.WEIGHTS)] for p in (shared, program))
    assert sum(sizes) * 2 == sum(before)


def test_other_weights_stay() -> None:
    program = plan_network(two_heads(same=False)).program
    assert share_weights(program) == program


def test_library_with_shared_weights_computes_the_same_and_tells_its_size(tmp_path: Path) -> None:
    graph = two_heads(same=True)
    compiled = compile_graph(graph, graph, CompileOptions("host", Core.CORTEX_M0PLUS, kernels=Kernels.PORTABLE))
    assert compiled.manifest.weights_bytes * 2 == plan_network(graph).weights_bytes
    (twin,) = build_twins([compiled], tmp_path)
    inputs = random_inputs(graph, 0)
    for found, expected in zip(twin.run(*inputs), run_graph(graph, inputs), strict=True):
        np.testing.assert_array_equal(found, expected)
