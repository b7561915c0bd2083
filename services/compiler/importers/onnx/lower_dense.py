"""Gemm and MatMul with constant weights to FullyConnected; a flattened NHWC input permutes the weights' columns."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from services.compiler.importers.onnx.layout import as_is
from services.compiler.importers.onnx.lowering import Lowering
from services.compiler.importers.onnx.model import Array, Node
from services.compiler.importers.onnx.refusals import invalid, unsupported
from services.compiler.importers.onnx.view import View, reshaped
from services.compiler.importers.onnx.weights import Weights, add_bias, read_bias, read_weights
from services.compiler.ir.ops import FullyConnected
from services.compiler.ir.tensor import TensorId


def lower_gemm(lowering: Lowering, node: Node) -> None:
    """Emit Gemm: alpha goes into the weights' scale, beta into the bias."""
    alpha, beta = node.real("alpha", 1.0), node.real("beta", 1.0)
    if node.integer("transA", 0) or not (np.isfinite(alpha) and alpha > 0) or not np.isfinite(beta):
        raise unsupported(node, f"transA={node.integer('transA', 0)} alpha={alpha}", "use transA=0 and alpha above 0")
    if len(lowering.view(node).shape) != 2:
        raise invalid(f"the input of Gemm {node.name!r}", list(lowering.view(node).shape), "must have rank 2")
    _lower(lowering, node, rows_are_outputs=bool(node.integer("transB", 0)), alpha=alpha, beta=beta)


def lower_matmul(lowering: Lowering, node: Node) -> None:
    """Emit MatMul of an activation with constant weights [I, O]; a third input is the bias that was added to it."""
    _lower(lowering, node, rows_are_outputs=False, alpha=1.0, beta=1.0)


def _lower(lowering: Lowering, node: Node, *, rows_are_outputs: bool, alpha: float, beta: float) -> None:
    view = lowering.view(node)
    weights = _weights_oi(lowering, node, rows_are_outputs).scaled(alpha)
    outputs, inputs = weights.data.shape
    if not view.shape or view.shape[-1] != inputs:
        raise invalid(f"the input of {node.op_type} {node.name!r}", list(view.shape), f"must end in {inputs}")
    bias = read_bias(lowering, node, 2, lowering.type_of(view), weights)
    source, ordered = _source(lowering, view, weights)
    target, type_ = lowering.required_target(node)
    constants = (ordered.add_to(lowering.builder), *add_bias(lowering, source, ordered, _times(bias, beta)))
    rows = prod(view.shape[:-1])

    def make(output: TensorId) -> FullyConnected:
        return FullyConnected(
            name=node.name, inputs=(source, *constants), outputs=(output,), activation=target.activation
        )

    lowering.write(target.value, (rows, outputs), as_is(2), type_, make)
    result = lowering.values[target.value]
    assert isinstance(result, View)  # just written
    lowering.bind(target.value, reshaped(result, (*view.shape[:-1], outputs)))


def _times(bias: Array | None, beta: float) -> Array | None:
    return None if bias is None else bias * beta


def _weights_oi(lowering: Lowering, node: Node, rows_are_outputs: bool) -> Weights:
    if isinstance(lowering.value(node, 1), View):
        raise unsupported(
            node, f"both its inputs are computed, {node.inputs[1]!r} too, as in attention", "use constant weights"
        )
    weights = read_weights(lowering, node, 1)
    if weights.data.ndim != 2:
        raise unsupported(node, f"its weights have rank {weights.data.ndim}", "use a matrix")
    oriented = weights if rows_are_outputs else weights.transposed((1, 0))
    if oriented.axis == 1:
        raise unsupported(node, "its weights have one scale an input", "use one scale an output channel")
    return oriented


def _source(lowering: Lowering, view: View, weights: Weights) -> tuple[TensorId, Weights]:
    """Return the stored input and the weights whose columns follow its element order.

    One row needs no reordering of the input: its weights are permuted once, here.
    """
    if prod(view.shape[:-1]) > 1:
        return lowering.builder.store(view), weights
    columns = np.empty_like(weights.data)
    columns[:, view.indices()] = weights.data
    return view.tensor, replace(weights, data=columns)
