"""Rewrites QLinear operators as DequantizeLinear + float operator + QuantizeLinear, so that one path compiles both."""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.compiler.importers.onnx.model import Model, Node
from services.compiler.importers.onnx.refusals import unsupported


@dataclass(frozen=True, slots=True)
class _Form:
    """Where an operator keeps what: (value, scale, zero point) triples of inputs, the output's, and the bias."""

    op_type: str
    operands: tuple[int, ...]
    output: int
    bias: int | None = None


_FORMS = {
    "QLinearConv": _Form("Conv", (0, 3), 6, bias=8),
    "QLinearMatMul": _Form("MatMul", (0, 3), 6),
    "QGemm": _Form("Gemm", (0, 3), 7, bias=6),
    "QLinearAdd": _Form("Add", (0, 3), 6),
    "QLinearMul": _Form("Mul", (0, 3), 6),
    "QLinearAveragePool": _Form("AveragePool", (0,), 3),
    "QLinearGlobalAveragePool": _Form("GlobalAveragePool", (0,), 3),
    "QLinearLeakyRelu": _Form("LeakyRelu", (0,), 3),
    "QLinearSigmoid": _Form("Sigmoid", (0,), 3),
    "QLinearSoftmax": _Form("Softmax", (0,), 3),
    "QLinearReduceMean": _Form("ReduceMean", (0,), 3),
}


def expand_qlinear(model: Model) -> Model:
    """Return the model with every QLinear operator in QDQ form."""
    return replace(model, nodes=tuple(part for node in model.nodes for part in _expand(node)))


def _expand(node: Node) -> tuple[Node, ...]:
    if node.op_type == "QLinearConcat":
        operands = tuple(range(2, len(node.inputs), 3))
        return _parts(node, _Form("Concat", operands, 0))
    form = _FORMS.get(node.op_type)
    return (node,) if form is None else _parts(node, form)


def _parts(node: Node, form: _Form) -> tuple[Node, ...]:
    if node.integer("channels_last", 0):
        raise unsupported(node, "channels_last is set", "export it in the NCHW layout")
    if len(node.inputs) <= max((*(i + 1 for i in form.operands), form.output)):
        raise unsupported(node, f"it has {len(node.inputs)} inputs", "give every operand a scale and a zero point")
    before = tuple(_dequantize(node, i, _weights_axis(node, form.op_type, i)) for i in form.operands)
    inputs = [part.output for part in before]
    if form.bias is not None and node.input_or_none(form.bias) is not None:
        inputs.append(node.inputs[form.bias])
    real = f"{node.output}/real"
    middle = Node(node.name, form.op_type, tuple(inputs), (real,), node.attributes)
    triple = (real, *node.inputs[form.output : form.output + 2])
    return (*before, middle, Node(f"{node.name}/quantize", "QuantizeLinear", triple, (node.output,)))


def _weights_axis(node: Node, op_type: str, index: int) -> int:
    """Per-channel weights: Conv has output channels first, MatMul last, QGemm as its transB says."""
    rows = op_type == "Conv" or (op_type == "Gemm" and bool(node.integer("transB", 0)))
    return 0 if rows and index == 3 else 1


def _dequantize(node: Node, index: int, axis: int) -> Node:
    triple = node.inputs[index : index + 3]
    return Node(f"{node.name}/operand_{index}", "DequantizeLinear", triple, (f"{node.name}/{index}",), {"axis": axis})
