"""A weight-free network, as the search sends it, and the exported, quantized, imported model are the same graph."""

from __future__ import annotations

import numpy as np

from services.compiler.importers.onnx import import_onnx
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Add, Conv2D, DepthwiseConv2D, FullyConnected, Mean, Op, Padding
from services.compiler.ir.tensor import DType, QuantParams, Tensor
from services.compiler.passes.optimize import optimize
from services.compiler.passes.strip_edge_transpose import strip_edge_transpose
from services.compiler.quantize import quantize_onnx
from tests.compiler.quantize.float_models import FloatBuilder

ONE = Padding(1, 1, 1, 1)


def _weight_free() -> Graph:
    tensors: dict[int, Tensor] = {}

    def activation(*shape: int) -> int:
        tensors[len(tensors)] = Tensor("a", shape, DType.INT8, QuantParams((0.1,), (0,)))
        return len(tensors) - 1

    def constant(dtype: DType, *shape: int) -> int:
        tensors[len(tensors)] = Tensor("c", shape, dtype, QuantParams((0.1,), (0,)), is_constant=True)
        return len(tensors) - 1

    def weighted(source: int, result: int, *shape: int, outputs: int) -> dict[str, tuple[int, ...]]:
        return {"inputs": (source, constant(DType.INT8, *shape), constant(DType.INT32, outputs)), "outputs": (result,)}

    x, stem, deep, thin, total = (activation(1, s, s, c) for s, c in ((12, 3), (6, 8), (6, 8), (6, 8), (6, 8)))
    pooled, logits = activation(1, 1, 1, 8), activation(1, 5)
    ops: list[Op] = [
        Conv2D(name="stem", stride_hw=(2, 2), padding=ONE, **weighted(x, stem, 8, 3, 3, 3, outputs=8)),
        DepthwiseConv2D(name="deep", padding=ONE, **weighted(stem, deep, 1, 3, 3, 8, outputs=8)),
        Conv2D(name="thin", **weighted(deep, thin, 8, 1, 1, 8, outputs=8)),
        Add(name="add", inputs=(stem, thin), outputs=(total,)),
        Mean(name="pool", inputs=(total,), outputs=(pooled,), axes=(1, 2)),
        FullyConnected(name="dense", **weighted(pooled, logits, 5, 8, outputs=5)),
    ]
    return optimize(Graph("weight free", tensors, tuple(ops), (x,), (logits,)))


def _exported() -> bytes:
    b = FloatBuilder(0, ("n", 3, 12, 12))
    stem = b.node("Relu", [b.conv("x", 3, 8, 3, stride=2)])
    thin = b.conv(b.node("Clip", [b.conv(stem, 8, 8, 3, group=8), b.number(0), b.number(6)]), 8, 8, 1)
    pooled = b.node("GlobalAveragePool", [b.node("Add", [stem, thin])])
    return b.build(b.dense(b.node("Flatten", [pooled]), 8, 5))


def _skeleton(graph: Graph) -> list[tuple[object, ...]]:
    """Operators, what they read from where, windows, and every shape and type; scales and clamps left out."""
    made = {t: i for i, op in enumerate(graph.ops) for t in op.outputs}
    return [
        (
            op.kind,
            tuple(made.get(t, -1) for t in op.inputs),
            tuple((graph.tensors[t].shape, graph.tensors[t].dtype) for t in (*op.inputs, *op.outputs)),
            getattr(op, "stride_hw", None),
            getattr(op, "padding", None),
            getattr(op, "axes", None),
        )
        for op in graph.ops
    ]


def test_imported_network_has_the_operators_and_shapes_of_the_weight_free_one() -> None:
    samples = np.random.default_rng(0).normal(size=(4, 3, 12, 12)).astype(np.float32)
    imported = strip_edge_transpose(optimize(import_onnx(quantize_onnx(_exported(), samples), "net")))
    assert _skeleton(imported) == _skeleton(_weight_free())
