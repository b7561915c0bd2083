"""Evaluates what does not depend on the model's inputs: Constant nodes, shape arithmetic, quantized weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from services.compiler.importers.onnx.model import Array, Model, Node
from services.compiler.importers.onnx.refusals import invalid

MAX_FOLDED_ELEMENTS = 1 << 26
# The 4-bit type inside an 8-bit one, with its limits.
_NARROWED = {"int8": (onnx.TensorProto.INT4, -8, 7), "uint8": (onnx.TensorProto.UINT4, 0, 15)}

# Constants of these are worth evaluating; DequantizeLinear is not among them: its integers are what we keep.
FOLDABLE = frozenset(
    {
        "Abs",
        "Add",
        "Cast",
        "CastLike",
        "Ceil",
        "Clip",
        "Concat",
        "Constant",
        "ConstantOfShape",
        "Div",
        "Equal",
        "Expand",
        "Flatten",
        "Floor",
        "Gather",
        "Identity",
        "Max",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "Pow",
        "QuantizeLinear",
        "Range",
        "Reciprocal",
        "Reshape",
        "Shape",
        "Size",
        "Slice",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Tile",
        "Transpose",
        "Unsqueeze",
        "Where",
    }
)


def fold_constants(model: Model) -> Model:
    """Return the model without the nodes whose inputs are all constants; their values become constants."""
    constants = dict(model.constants)
    kept: list[Node] = []
    for node in model.nodes:
        if node.op_type in FOLDABLE and all(v in constants for v in node.inputs if v):
            inputs = [constants[v] if v else None for v in node.inputs]
            constants.update(_narrowed(node, inputs, evaluate(node, inputs, model.opset)))
        else:
            kept.append(node)
    return replace(model, nodes=tuple(kept), constants=constants)


def _narrowed(node: Node, inputs: Sequence[Array | None], results: dict[str, Array]) -> dict[str, Array]:
    """Return 8-bit integers clipped to limits of 4 bits as 4-bit ones: so does brevitas write int4 weights.

    Limits tell, not values: int8 weights without a Clip stay int8, even where all of them would fit.
    """
    limits = [limit for limit in inputs[1:] if limit is not None and limit.size == 1]
    value = results[node.output]
    if node.op_type != "Clip" or value.dtype.name not in _NARROWED or len(limits) != 2:
        return results
    element, least, most = _NARROWED[value.dtype.name]
    low, high = (int(limit.reshape(())) for limit in limits)
    narrow = helper.tensor_dtype_to_np_dtype(element)
    return {node.output: value.astype(narrow)} if least <= low <= high <= most else results


def evaluate(node: Node, inputs: Sequence[Array | None], opset: int) -> dict[str, Array]:
    """Return the node's outputs. Raises the importer's error if it cannot be evaluated or is too large."""
    _check_growth(node, inputs)
    given = {name: array for name, array in zip(node.inputs, inputs, strict=True) if array is not None}
    try:
        results = ReferenceEvaluator(_single_node_model(node, given, opset)).run(list(node.outputs), given)
    except Exception as error:  # whatever numpy or the evaluator raises on inconsistent operands
        raise invalid(
            f"{node.op_type} {node.name!r} on constants", f"not computable ({error})", "export again"
        ) from error
    return {name: np.asarray(value) for name, value in zip(node.outputs, results, strict=True)}


def _single_node_model(node: Node, given: dict[str, Array], opset: int) -> onnx.ModelProto:
    attributes = {k: _as_proto(v) for k, v in node.attributes.items()}
    proto = helper.make_node(node.op_type, list(node.inputs), list(node.outputs), **attributes)
    inputs = [helper.make_value_info(n, helper.make_tensor_type_proto(_element(a), None)) for n, a in given.items()]
    outputs = [helper.make_value_info(n, onnx.TypeProto()) for n in node.outputs]
    graph = helper.make_graph([proto], "constant", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def _element(array: Array) -> int:
    return helper.np_dtype_to_tensor_dtype(array.dtype)


def _as_proto(value: object) -> Any:
    return onnx.numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value


def _check_growth(node: Node, inputs: Sequence[Array | None]) -> None:
    """Refuse the few operators whose output may be far larger than their inputs."""
    sizes = [array.size for array in inputs if array is not None]
    match node.op_type, inputs:
        case "ConstantOfShape", [shape, *_] if shape is not None:
            elements = prod(int(d) for d in shape.reshape(-1))
        case (("Expand" | "Tile"), [x, factors, *_]) if x is not None and factors is not None:
            elements = x.size * prod(max(int(d), 1) for d in factors.reshape(-1))
        case "Range", [start, limit, step] if start is not None and limit is not None and step is not None:
            elements = abs(int((float(limit) - float(start)) / (float(step) or 1.0)))
        case (("Add" | "Sub" | "Mul" | "Div" | "Where" | "Equal" | "Pow" | "Gather"), _):
            elements = prod(sizes)
        case _:
            elements = sum(sizes)
    if elements > MAX_FOLDED_ELEMENTS and elements > sum(sizes):
        raise invalid(f"the size of {node.op_type} {node.name!r}", elements, f"must be at most {MAX_FOLDED_ELEMENTS}")
