"""A graph as text, so that tests and people can compare graphs by reading them."""

from __future__ import annotations

from dataclasses import fields

from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Op, Padding
from services.compiler.ir.tensor import QuantParams, Tensor, TensorId


def print_graph(graph: Graph) -> str:
    """Return one line for the inputs, one an operator, one for the outputs.

    For instance `%3 = Conv2D(%0, %1, %2) stride_hw=(2, 2) padding=0,1,0,1 : int8[1,48,48,8] s=0.0235 z=-128`.
    """
    lines = ["inputs " + ", ".join(f"%{t} : {_type(graph.tensors[t])}" for t in graph.inputs)]
    lines += [_line(graph, op) for op in graph.ops]
    lines.append("outputs " + ", ".join(f"%{t}" for t in graph.outputs))
    return "\n".join(lines)


def _line(graph: Graph, op: Op) -> str:
    outputs = ", ".join(f"%{t}" for t in op.outputs)
    inputs = ", ".join(_reference(graph, t) for t in op.inputs)
    attributes = "".join(
        f" {f.name}={_value(getattr(op, f.name))}"
        for f in fields(op)
        if f.name not in ("name", "inputs", "outputs") and getattr(op, f.name) != f.default
    )
    types = ", ".join(_type(graph.tensors[t]) for t in op.outputs)
    return f"{outputs} = {op.kind}({inputs}){attributes} : {types}"


def _reference(graph: Graph, tensor_id: TensorId) -> str:
    tensor = graph.tensors[tensor_id]
    return f"const {_type(tensor)}" if tensor.is_constant else f"%{tensor_id}"


def _type(tensor: Tensor) -> str:
    shape = ",".join(str(d) for d in tensor.shape)
    return f"{tensor.dtype.value}[{shape}]{_quant(tensor.quant)}"


def _quant(quant: QuantParams | None) -> str:
    if quant is None:
        return ""
    if quant.per_channel:
        return f" s[{len(quant.scale)}]@{quant.axis}"
    return f" s={quant.scale[0]:.6g} z={quant.zero_point[0]}"


def _value(value: object) -> str:
    match value:
        case Padding():
            return f"{value.top},{value.bottom},{value.left},{value.right}"
        case Activation():
            return value.value
        case _:
            return repr(value)
