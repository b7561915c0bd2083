"""Transposes at the edges are left to the host, which is told the axis order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Dequantize, Op, Quantize, Tanh, Transpose
from services.compiler.ir.tensor import DType, QuantParams, Tensor, TensorId
from services.compiler.ir.verify import verify
from services.compiler.options import Interface
from services.compiler.passes.optimize import optimize
from services.compiler.passes.strip_edge_transpose import EdgeAxes, edge_axes, strip_edge_transpose
from services.compiler.quant.reference import run_graph
from tests.compiler.passes.small_graphs import activation, graph, lines, real, rewritten

TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


def _model(extra_reader: bool = False) -> Graph:
    """Float NCHW at the edges: Quantize, Transpose, Tanh, Transpose, Dequantize."""
    tensors = {
        0: real(1, 2, 3, 4),
        1: activation(1, 2, 3, 4, scale=0.1),
        2: activation(1, 3, 4, 2, scale=0.1),
        3: activation(1, 3, 4, 2, scale=1 / 128),
        4: activation(1, 2, 3, 4, scale=1 / 128),
        5: real(1, 2, 3, 4),
        6: activation(1, 2, 3, 4, scale=1 / 128),
    }
    ops = [
        Quantize(name="quantize", inputs=(0,), outputs=(1,)),
        Transpose(name="to NHWC", inputs=(1,), outputs=(2,), permutation=TO_NHWC),
        Tanh(name="tanh", inputs=(2,), outputs=(3,)),
        Transpose(name="to NCHW", inputs=(3,), outputs=(4,), permutation=TO_NCHW),
        Dequantize(name="dequantize", inputs=(4,), outputs=(5,)),
    ]
    if extra_reader:
        ops.insert(1, Tanh(name="other", inputs=(1,), outputs=(6,)))
    return graph(tensors, ops, (5, 6) if extra_reader else (5,))


def test_edge_transposes_are_dropped_behind_edge_quantizes() -> None:
    stripped = optimize(_model())
    assert rewritten(strip_edge_transpose, stripped) == lines(
        "inputs %2 : int8[1,3,4,2] s=0.1 z=0",
        "%3 = Tanh(%2) : int8[1,3,4,2] s=0.0078125 z=0",
        "outputs %3",
    )


def test_axes_make_the_stripped_graph_compute_the_same_bits() -> None:
    integer = optimize(_model())
    stripped = strip_edge_transpose(integer)
    axes = edge_axes(integer, stripped)
    assert axes == EdgeAxes((TO_NHWC,), (TO_NCHW,))
    x = np.random.default_rng(0).integers(-128, 128, (1, 2, 3, 4)).astype(np.int8)
    (expected,) = run_graph(integer, [x])
    (stored,) = run_graph(stripped, [x.transpose(axes.inputs[0])])
    assert np.array_equal(stored.transpose(axes.outputs[0]), expected)


def test_edge_transposes_are_dropped_behind_conversions_on_the_device() -> None:
    model = optimize(_model(), Interface.FLOAT)
    assert rewritten(strip_edge_transpose, model) == lines(
        "inputs %6 : float32[1,3,4,2]",
        "%2 = Quantize(%6) : int8[1,3,4,2] s=0.1 z=0",
        "%3 = Tanh(%2) : int8[1,3,4,2] s=0.0078125 z=0",
        "%7 = Dequantize(%3) : float32[1,3,4,2]",
        "outputs %7",
    )
    assert edge_axes(model, strip_edge_transpose(model)) == EdgeAxes((TO_NHWC,), (TO_NCHW,))


def test_input_that_something_else_reads_in_its_own_order_stays() -> None:
    model = optimize(_model(extra_reader=True))
    stripped = strip_edge_transpose(model)
    assert stripped.inputs == model.inputs
    assert edge_axes(model, stripped).inputs == (None,)


@dataclass(frozen=True)
class _Edges:
    """What is drawn of a network's edges: the input's type, who reads it, and of what each output is made."""

    declared: DType
    order: tuple[int, ...]
    readers: tuple[tuple[bool, bool], ...]  # quantized first, transposed
    outputs: tuple[tuple[bool, bool, bool], ...]  # transposed, converted back, read or declared twice
    exposed: bool  # what is quantized is an output, too


@st.composite
def _edges(draw: st.DrawFn) -> _Edges:
    declared = draw(st.sampled_from([DType.FLOAT32, DType.UINT8, DType.INT8]))
    converted = st.just(True) if declared is not DType.INT8 else st.booleans()
    readers = draw(st.lists(st.tuples(converted, st.sampled_from([True, True, True, False])), min_size=1, max_size=3))
    rare = st.sampled_from([False, False, False, True])
    outputs = draw(st.lists(st.tuples(st.booleans(), st.booleans(), rare), min_size=1, max_size=2))
    order = draw(st.permutations(range(4)))
    return _Edges(declared, tuple(order), tuple(readers), tuple(outputs), draw(rare))


def _drawn(edges: _Edges) -> Graph:
    """Every reader of the input ends in a Tanh; of the Tanhs the outputs are made, in turn."""
    shape, order = (1, 2, 3, 4), edges.order
    moved = tuple(shape[axis] for axis in order)
    tensors = {0: activation(*shape, scale=0.02, zero_point=5, dtype=edges.declared)}
    ops: list[Op] = []
    made: list[TensorId] = []
    results: list[TensorId] = []

    def add(tensor: Tensor, kind: type[Op], source: TensorId, **fields: object) -> TensorId:
        tensors[len(tensors)] = tensor
        ops.append(kind(name=f"op {len(ops)}", inputs=(source,), outputs=(len(tensors) - 1,), **fields))  # type: ignore[call-arg]
        return len(tensors) - 1

    for quantized, transposed in edges.readers:
        t = add(activation(*shape, scale=0.03, zero_point=-7), Quantize, 0) if quantized else 0
        if quantized and edges.exposed and not results:
            results.append(t)
        if transposed:
            t = add(replace(tensors[t], shape=moved), Transpose, t, permutation=order)
        made.append(add(activation(*tensors[t].shape, scale=1 / 128), Tanh, t))
    for number, (transposed, converted, twice) in enumerate(edges.outputs):
        t = made[number % len(made)]
        if transposed:
            size = tuple(tensors[t].shape[axis] for axis in order)
            t = add(replace(tensors[t], shape=size), Transpose, t, permutation=order)
        if converted and edges.declared is DType.UINT8:
            t = add(replace(tensors[t], dtype=DType.UINT8, quant=QuantParams((1 / 128,), (128,))), Quantize, t)
        elif converted:
            t = add(real(*tensors[t].shape), Dequantize, t)
        results += [t, t] if twice else [t]
    return graph(tensors, ops, results)


@given(_edges())
def test_whatever_the_edges_are_the_host_brings_the_axes_in_order_and_bits_stay(edges: _Edges) -> None:
    model = _drawn(edges)
    stripped = verify(strip_edge_transpose(model))
    axes = edge_axes(model, stripped)
    random = np.random.default_rng(0)
    tensor = model.tensors[0]
    x = random.normal(size=tensor.shape) if tensor.dtype.is_float else random.integers(0, 100, tensor.shape)
    x = x.astype(tensor.dtype.numpy)
    found = run_graph(stripped, [x if axes.inputs[0] is None else x.transpose(axes.inputs[0])])
    for got, expected, permutation in zip(found, run_graph(model, [x]), axes.outputs, strict=True):
        np.testing.assert_array_equal(got if permutation is None else got.transpose(permutation), expected)
    exposed = edges.exposed and any(quantized for quantized, _ in edges.readers)
    stripped_input = all(transposed for _, transposed in edges.readers) and not exposed
    assert axes.inputs == (edges.order if stripped_input else None,)
    if stripped_input:
        assert not any(isinstance(op, Transpose) for op in stripped.ops[: len(edges.readers)])
