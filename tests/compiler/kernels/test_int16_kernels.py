"""Every kernel of int16 activations, through the whole compiler and the host twin, against the numpy reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from services.compiler import pipeline, planned
from services.compiler.codegen.program import KernelCall, Program, RegionArg
from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Quantize
from services.compiler.ir.tensor import DType, QuantParams
from services.compiler.options import CompileOptions, Core, Interface, Kernels
from services.compiler.planner import choose
from services.compiler.quant.reference import run_graph
from tests.compiler.graph_maker import GraphMaker, random_inputs
from tests.compiler.host_twin import build_twins
from tests.compiler.kernels.test_kernels_against_reference import joined, one, split_in_three, two

OPTIONS = CompileOptions("host", Core.CORTEX_M4, interface=Interface.FLOAT, kernels=Kernels.PORTABLE)
Case = Callable[[GraphMaker], Graph]


def narrow_sums(m: GraphMaker) -> Graph:
    """A Conv2D with an int32 bias has 32-bit sums."""
    y = m.conv2d(m.input(1, 5, 6, 3), 4)
    bias = m.ops[-1].inputs[2]
    held = m.tensors[bias]
    assert held.data is not None
    m.tensors[bias] = replace(held, dtype=DType.INT32, data=held.data.astype(np.int32))
    return m.build(y)


def many_products(m: GraphMaker) -> Graph:
    """The sums of 3,000 products do not fit 32 bits."""
    x = m.input(1, 3000, quant=QuantParams((0.5,), (0,)))
    y = m.dense(x, 3)
    m.tensors[y] = replace(m.tensors[y], quant=QuantParams((0.5,), (0,)))
    return m.build(y)


def to_int8_and_back(m: GraphMaker) -> Graph:
    narrow = m.tensor((1, 4, 5, 3), QuantParams((0.05,), (7,)), DType.INT8)
    x = m.input(1, 4, 5, 3)
    m.add_op(Quantize(name="narrow", inputs=(x,), outputs=(narrow,)))
    return m.build(m.quantize(narrow, DType.INT16))


CASES: dict[str, Case] = {
    "conv 3x3 same": one(lambda m, x: m.conv2d(x, 5, activation=Activation.RELU), 1, 7, 6, 3),
    "conv 1x1": one(lambda m, x: m.conv2d(x, 7, (1, 1)), 1, 5, 4, 9),
    "conv 10x4 stride 2": one(lambda m, x: m.conv2d(x, 6, (10, 4), (2, 2)), 1, 25, 10, 1),
    "conv dilated": one(lambda m, x: m.conv2d(x, 4, dilation=(2, 3)), 1, 9, 11, 3),
    "conv without bias": one(lambda m, x: m.conv2d(x, 3, bias=False), 1, 5, 5, 2),
    "conv with an int32 bias": narrow_sums,
    "depthwise 3x3": one(lambda m, x: m.depthwise(x, stride=(2, 2)), 1, 8, 7, 5),
    "depthwise after a wide layer": one(lambda m, x: m.depthwise(m.conv2d(x, 64, (1, 1))), 1, 8, 7, 5),
    "depthwise multiplier 3": one(lambda m, x: m.depthwise(x, 3), 1, 6, 7, 2),
    "depthwise of a long row": one(lambda m, x: m.depthwise(x, kernel=(1, 300)), 1, 1, 310, 2),
    "dense": one(lambda m, x: m.dense(x, 7), 1, 19),
    "dense per channel": one(lambda m, x: m.dense(x, 7, per_channel=True), 3, 20),
    "dense of many": many_products,
    "add": two("add", (1, 5, 4, 3), (1, 5, 4, 3)),
    "add a vector relu": two("add", (1, 5, 4, 3), (3,), activation=Activation.RELU),
    "sub": two("sub", (1, 5, 4, 3), (1, 5, 4, 3)),
    "mul by channel gates": two("mul", (1, 5, 4, 3), (1, 1, 1, 3)),
    "average pool": one(lambda m, x: m.pool("average", x, (3, 3), (2, 2)), 1, 7, 8, 5),
    "max pool": one(lambda m, x: m.pool("max", x, (3, 3), (2, 2), activation=Activation.RELU6), 1, 7, 8, 5),
    "mean": one(lambda m, x: m.mean(x, (1, 2), keep=False), 1, 5, 4, 6),
    "softmax": one(lambda m, x: m.unary("softmax", x), 1, 12),
    "softmax of a batch": one(lambda m, x: m.unary("softmax", x, beta=0.01), 1, 3, 4, 50),
    "logistic": one(lambda m, x: m.unary("logistic", x), 1, 4, 40, 16),
    "tanh": one(lambda m, x: m.unary("tanh", x), 1, 4, 40, 16),
    "relu": one(lambda m, x: m.unary("relu", x), 1, 4, 4, 16),
    "rows and columns swapped": one(lambda m, x: m.transpose(x, (0, 2, 1, 3)), 1, 4, 5, 3),
    "rows and columns swapped in place": one(lambda m, x: m.transpose_image(x), 1, 4, 5, 3),
    "requantize": one(lambda m, x: m.quantize(x, DType.INT16), 1, 4, 4, 16),
    "to int8 and back": to_int8_and_back,
    "float edges": lambda m: m.build(m.dequantize(m.quantize(m.input(1, 4, 5, dtype=DType.FLOAT32), DType.INT16))),
    "concatenate channels": joined(3, (1, 3, 4, 2), (1, 3, 4, 5)),
    "concatenate rows": joined(1, (1, 3, 4, 2), (1, 2, 4, 2)),
    "pad": one(lambda m, x: m.pad(x, (0, 1, 2, 0), (0, 3, 0, 1)), 1, 4, 5, 3),
    "split": split_in_three,
    "slice": one(lambda m, x: m.slice(x, (0, 1, 0, 2), (1, 5, 4, 5), (1, 2, 1, 1)), 1, 6, 4, 5),
    "reshape": one(lambda m, x: m.dense(m.reshape(m.pool("max", x, (2, 2), (2, 2)), 1, 16), 3), 1, 4, 8, 2),
    "network": one(
        lambda m, x: m.unary("softmax", m.dense(m.mean(m.depthwise(m.conv2d(x, 8)), (1, 2), keep=False), 4)), 1, 9, 9, 2
    ),
}  # fmt: skip


def graph_of(name: str) -> Graph:
    number = list(CASES).index(name)
    return CASES[name](GraphMaker(seed=number, name=f"wide {number}", activations=DType.INT16))


def wrong(graphs: dict[str, Graph], folder: Path) -> list[str]:
    compiled = [pipeline.compile_graph(graph, graph, OPTIONS) for graph in graphs.values()]
    failed = []
    for (name, graph), twin in zip(graphs.items(), build_twins(compiled, folder), strict=True):
        for seed in range(4):
            inputs = random_inputs(graph, seed)
            if not all(map(np.array_equal, twin.run(*inputs), run_graph(graph, inputs))):
                failed.append(name)
    return failed


def test_kernels_equal_the_reference(tmp_path: Path) -> None:
    assert wrong({name: graph_of(name) for name in CASES}, tmp_path) == []


def quarters(call: KernelCall) -> list[KernelCall]:
    if call.function == "tf_transpose_image_s8":  # in place, it has no parts
        return [call]
    (top, bottom), (left, right) = call.region.rows, call.region.cols
    rows = [(top, (top + bottom) // 2), ((top + bottom) // 2, bottom)]
    cols = [(left, (left + right) // 2), ((left + right) // 2, right)]
    parts = [(r, c) for r, c in product(rows, cols) if r[0] < r[1] and c[0] < c[1]]
    return [replace(call, region=RegionArg(r, c)) for r, c in reversed(parts)]


def test_quarters_equal_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*arguments: object, **options: object) -> planned.Planned:
        whole = planned.plan_network(*arguments, **options)  # type: ignore[arg-type]
        layers = [
            replace(layer, calls=tuple(part for call in layer.calls for part in quarters(call)))
            for layer in whole.program.layers
        ]
        return whole.with_program(Program(tuple(layers)))

    monkeypatch.setattr(planned.OverlapRules, "of", lambda *_: ())
    monkeypatch.setattr(choose, "plan_network", cut)
    assert wrong({name: graph_of(name) for name in CASES}, tmp_path) == []
