"""Folds BatchNormalization into the Gemm before it, which onnxruntime's optimizations leave alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
from onnx import helper, numpy_helper


def fold_batch_norm(proto: onnx.ModelProto) -> None:
    """Replace Gemm + BatchNormalization by a Gemm with scaled weights, in place, where nothing else reads between."""
    graph = proto.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    readers = Counter(name for node in graph.node for name in node.input)
    readers.update(value.name for value in graph.output)
    producers = {name: node for node in graph.node for name in node.output}
    for norm in [node for node in graph.node if node.op_type == "BatchNormalization"]:
        gemm = producers.get(norm.input[0])
        if gemm is None or gemm.op_type != "Gemm" or readers[norm.input[0]] != 1:
            continue
        names = [*gemm.input[1:], *norm.input[1:]]
        if all(name in constants for name in names):
            _fold(graph, gemm, norm, [constants[name].astype(np.float64) for name in names])
    _drop_unread(graph)


def _fold(graph: onnx.GraphProto, gemm: onnx.NodeProto, norm: onnx.NodeProto, arrays: list[np.ndarray]) -> None:
    attributes = {a.name: helper.get_attribute_value(a) for a in gemm.attribute}
    epsilon = next((a.f for a in norm.attribute if a.name == "epsilon"), 1e-5)
    weights, *bias = arrays[:-4]
    gain, offset, mean, variance = arrays[-4:]
    factor = gain / np.sqrt(variance + epsilon)
    along_outputs = factor[:, None] if attributes.get("transB", 0) else factor[None, :]
    before = attributes.get("beta", 1.0) * bias[0].reshape(-1) if bias else 0.0
    folded = attributes.get("alpha", 1.0) * weights * along_outputs, (before - mean) * factor + offset
    names = [f"{norm.output[0]}/weights", f"{norm.output[0]}/bias"]
    for name, array in zip(names, folded, strict=True):
        graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
    kept = {k: v for k, v in attributes.items() if k not in ("alpha", "beta")}
    fused = helper.make_node("Gemm", [gemm.input[0], *names], [norm.output[0]], name=gemm.name, **kept)
    norm.CopyFrom(fused)
    graph.node.remove(gemm)


def _drop_unread(graph: onnx.GraphProto) -> None:
    read = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
