"""Looks ahead from a float value to the QuantizeLinear that fixes its type, past clamps and changes of shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from services.compiler.importers.onnx.model import Array, Model, Node, scalar
from services.compiler.importers.onnx.quantization import QuantType, read_type
from services.compiler.ir.ops import Activation

# Operators that change neither a value nor its type.
SHAPE_OPS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout"})
_TYPE_KEEPING = SHAPE_OPS | {"Relu", "Clip"}
_NAMED = {
    (-inf, inf): Activation.NONE,
    (0.0, inf): Activation.RELU,
    (0.0, 6.0): Activation.RELU6,
    (-1.0, 1.0): Activation.RELU_N1_TO_1,
}


@dataclass(frozen=True, slots=True)
class Target:
    """An operator may write `value` directly: in `type` (None if nothing quantizes it) after `activation`."""

    value: str
    type: QuantType | None
    activation: Activation = Activation.NONE


class Lookahead:
    """Answers what becomes of a value."""

    def __init__(self, model: Model) -> None:
        self._consumers = model.consumers()
        self._constants: Mapping[str, Array] = model.constants
        self._outputs = frozenset(port.name for port in model.outputs)

    def target(self, value: str) -> Target:
        """Return what the writer of `value` should write: a clamp behind it is fused where the IR can say it."""
        clamp = self.only_consumer(value)
        if clamp is not None and clamp.op_type in ("Relu", "Clip") and (bounds := self.bounds(clamp)) is not None:
            type_ = self.type_of(clamp.output)
            activation = None if type_ is None else activation_for(bounds, type_)
            if activation is not None:
                return Target(clamp.output, type_, activation)
        return Target(value, self.type_of(value))

    def type_of(self, value: str) -> QuantType | None:
        """Return the type in which a float value is quantized, None if it is not.

        A clamp in between does no harm: what the type cannot hold, the clamped value cannot be either.
        """
        consumers = self._consumers.get(value, ())
        for node in consumers:
            if node.op_type == "QuantizeLinear":
                return read_type(node, self._constants, None, None)
        through = (self.type_of(n.output) for n in consumers if n.op_type in _TYPE_KEEPING and n.inputs[0] == value)
        return next((t for t in through if t is not None), None)

    def dequantized_type(self, value: str, element: str) -> QuantType | None:
        """Return the type that the DequantizeLinear behind an integer value gives it."""
        for node in self._consumers.get(value, ()):
            if node.op_type == "DequantizeLinear":
                return read_type(node, self._constants, element, None)
            if node.op_type in SHAPE_OPS and (found := self.dequantized_type(node.output, element)) is not None:
                return found
        return None

    def bounds(self, node: Node) -> tuple[float, float] | None:
        """Return the clamp of a Relu or Clip, None where it is not constant."""
        if node.op_type == "Relu":
            return 0.0, inf
        low, high = node.real("min", -inf), node.real("max", inf)
        for index, name in enumerate(node.inputs[1:3]):
            if not name:
                continue
            if name not in self._constants:
                return None
            low, high = (scalar(self._constants[name]), high) if index == 0 else (low, scalar(self._constants[name]))
        # Exporters write "no bound" as the largest float32.
        return (-inf if low < -3e38 else low), (inf if high > 3e38 else high)

    def only_consumer(self, value: str) -> Node | None:
        """Return the node that reads a value, None if several do or the value is an output."""
        consumers = self._consumers.get(value, ())
        return consumers[0] if len(consumers) == 1 and value not in self._outputs else None

    def consumers(self, value: str) -> tuple[Node, ...]:
        """Return the nodes that read a value."""
        return self._consumers.get(value, ())

    def is_output(self, value: str) -> bool:
        """Whether a value is an output of the model."""
        return value in self._outputs


def activation_for(bounds: tuple[float, float], type_: QuantType) -> Activation | None:
    """Return the activation that clamps to `bounds`: NONE where the type's own range does, None if none can."""
    low, high = type_.real_range
    slack = type_.quant.scale[0] / 2
    if bounds in _NAMED:
        return _NAMED[bounds]
    if bounds[0] <= low + slack and bounds[1] >= high - slack:
        return Activation.NONE
    partly = (bounds[0] if bounds[0] > low + slack else -inf, bounds[1] if bounds[1] < high - slack else inf)
    return _NAMED.get(partly)
