"""Rewrites groups of ONNX nodes that exporters make of one operator: HardSwish, MatMul with bias."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isclose

from services.compiler.importers.onnx.model import Model, Node, scalar


def rewrite_patterns(model: Model) -> Model:
    """Return the model with known groups as single nodes, and without nodes whose outputs nothing reads."""
    return drop_unused(_fuse_hard_swish(_fuse_bias(drop_unused(model))))


def drop_unused(model: Model) -> Model:
    """Return the model without nodes that no output depends on."""
    needed = {port.name for port in model.outputs}
    kept: list[Node] = []
    for node in reversed(model.nodes):
        if needed.intersection(node.outputs):
            kept.append(node)
            needed.update(node.inputs)
    return replace(model, nodes=tuple(reversed(kept)))


def _fuse_bias(model: Model) -> Model:
    """MatMul, then Add of a constant vector that nothing quantizes in between: one MatMul with three inputs."""
    consumers, producers = model.consumers(), model.producers()
    outputs = {port.name for port in model.outputs}
    dropped: set[str] = set()
    nodes: list[Node] = []
    for node in model.nodes:
        if node.op_type == "Add":
            for data, bias in (node.inputs, tuple(reversed(node.inputs))):
                product = producers.get(data)
                if (
                    product is not None
                    and product.op_type == "MatMul"
                    and len(consumers[data]) == 1
                    and data not in outputs
                    and _is_vector(model, producers, bias)
                ):
                    dropped.add(product.name + product.output)
                    node = replace(product, inputs=(*product.inputs[:2], bias), outputs=node.outputs)  # noqa: PLW2901
                    break
        nodes.append(node)
    return replace(model, nodes=tuple(n for n in nodes if n.name + n.output not in dropped))


def _is_vector(model: Model, producers: Mapping[str, Node], value: str) -> bool:
    """Whether a value is a constant, quantized or not, with one axis longer than 1 at most: the last."""
    producer = producers.get(value)
    name = producer.inputs[0] if producer is not None and producer.op_type == "DequantizeLinear" else value
    constant = model.constants.get(name)
    return constant is not None and constant.size == (constant.shape[-1] if constant.ndim else 1)


@dataclass(frozen=True, slots=True)
class _Real:
    """Looks at real values, through QuantizeLinear and DequantizeLinear pairs."""

    model: Model
    producers: Mapping[str, Node]

    def source(self, value: str) -> str:
        """Return the value before it was quantized and dequantized again."""
        after = self.producers.get(value)
        if after is None or after.op_type != "DequantizeLinear":
            return value
        before = self.producers.get(after.inputs[0])
        return before.inputs[0] if before is not None and before.op_type == "QuantizeLinear" else value

    def producer(self, value: str, op_type: str) -> Node | None:
        """Return the node of a type that made the real value."""
        node = self.producers.get(self.source(value))
        return node if node is not None and node.op_type == op_type else None

    def number(self, value: str) -> float | None:
        """Return a constant's only element, dequantized if need be."""
        after = self.producers.get(value)
        if after is not None and after.op_type == "DequantizeLinear":
            parts = [self.model.constants.get(n) for n in after.inputs]
            if any(p is None or p.size != 1 for p in parts):
                return None
            data, scale, *zero = [scalar(p) for p in parts if p is not None]
            return (data - sum(zero)) * scale
        constant = self.model.constants.get(value)
        return scalar(constant) if constant is not None and constant.size == 1 else None

    def times(self, node: Node) -> tuple[str, float] | None:
        """Return (value, factor) of a Mul or Div with a constant."""
        for data, other in ((0, 1), (1, 0)):
            number = self.number(node.inputs[other]) if len(node.inputs) == 2 else None
            if number and (node.op_type == "Mul" or (node.op_type == "Div" and other == 1)):
                return node.inputs[data], number if node.op_type == "Mul" else 1.0 / number
        return None


def _fuse_hard_swish(model: Model) -> Model:
    """Make one HardSwish of x * hard_sigmoid(x), x * (relu6(x + 3) / 6) and (x * relu6(x + 3)) / 6."""
    real = _Real(model, model.producers())
    nodes = tuple(_as_hard_swish(real, node) or node for node in model.nodes)
    return replace(model, nodes=nodes)


def _as_hard_swish(real: _Real, node: Node) -> Node | None:
    if node.op_type not in ("Mul", "Div") or len(node.inputs) != 2:
        return None
    scaled = real.times(node)
    if scaled is not None and isclose(scaled[1], 1 / 6, rel_tol=0.01):
        product = real.producer(scaled[0], "Mul")
        x = None if product is None else _gated(real, product, _is_relu6_of_sum)
    else:
        x = _gated(real, node, _is_hard_sigmoid)
    return None if x is None else Node(node.name, "HardSwish", (x,), node.outputs)


def _gated(real: _Real, product: Node, is_gate) -> str | None:  # type: ignore[no-untyped-def]
    """Return x of a product x * gate(x)."""
    if product.op_type != "Mul":
        return None
    for x, gate in (product.inputs, tuple(reversed(product.inputs))):
        if is_gate(real, gate, real.source(x)):
            return x
    return None


def _is_hard_sigmoid(real: _Real, value: str, x: str) -> bool:
    node = real.producer(value, "HardSigmoid")
    if node is not None:
        sixth, half = isclose(node.real("alpha", 0.2), 1 / 6, rel_tol=1e-3), isclose(node.real("beta", 0.5), 0.5)
        return sixth and half and real.source(node.inputs[0]) == x
    for op_type in ("Mul", "Div"):
        node = real.producer(value, op_type)
        scaled = None if node is None else real.times(node)
        if scaled is not None and isclose(scaled[1], 1 / 6, rel_tol=0.01) and _is_relu6_of_sum(real, scaled[0], x):
            return True
    return False


def _is_relu6_of_sum(real: _Real, value: str, x: str) -> bool:
    """Whether a value is clip(x + 3, 0, 6)."""
    clip = real.producer(value, "Clip")
    if clip is None:
        return False
    bounds: list[object] = [real.number(name) for name in clip.inputs[1:3]] or [
        clip.attributes.get("min"),
        clip.attributes.get("max"),
    ]
    total = real.producer(clip.inputs[0], "Add")
    if bounds != [0.0, 6.0] or total is None:
        return False
    pairs = (total.inputs, tuple(reversed(total.inputs)))
    return any(real.source(a) == x and isclose(real.number(b) or 0.0, 3.0, rel_tol=0.01) for a, b in pairs)
