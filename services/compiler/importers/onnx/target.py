"""Looks ahead from a float value to the QuantizeLinear that fixes its type, past clamps and changes of shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from services.compiler.importers.onnx.model import Array, Model, Node, scalar
from services.compiler.importers.onnx.quantization import QuantType, read_type
from services.compiler.ir.activation import Activation

# Operators that change neither a value nor its type.
SHAPE_OPS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout"})
_CLAMPS = frozenset({"Relu", "Clip"})
# Operators that pick among values: quantizing before them is quantizing behind them.
_PICKING = frozenset({"MaxPool", "GlobalMaxPool", "Slice", "Gather", "DepthToSpace", "SpaceToDepth", "Concat", "Pad"})
_RESIZES = frozenset({"Resize", "Upsample"})
_TYPE_KEEPING = SHAPE_OPS | _CLAMPS | _PICKING
_READ_OTHERWISE = _CLAMPS | {"QuantizeLinear", "Shape", "Size"}
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


@dataclass(frozen=True, slots=True)
class Wish:
    """A QuantizeLinear behind a value: the type that it writes, and the real values from `low` to `high` that reach it.

    `clamped` tells that a clamp stands in between.
    """

    type: QuantType
    low: float
    high: float
    clamped: bool = False

    def served_by(self, type_: QuantType) -> bool:
        """Whether a value already in `type_` still makes this type: all that reaches it is held, finely enough."""
        step = self.type.quant.scale[0]
        low, high = type_.real_range
        return low <= self.low + step / 2 and high >= self.high - step / 2 and type_.quant.scale[0] <= _COARSEST * step


# How much coarser a value's type may be than that of another QuantizeLinear behind it.
_COARSEST = 2.01


class Lookahead:
    """Answers what becomes of a value."""

    def __init__(self, model: Model) -> None:
        self._consumers = model.consumers()
        self._constants: Mapping[str, Array] = model.constants
        self._outputs = frozenset(port.name for port in model.outputs)
        self._wishes: dict[str, tuple[Wish, ...]] = {}

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

        A clamp in between does no harm where nothing reads the value beside it: what the type cannot hold, the clamped
        value cannot be either. Of several types it is one that serves the others, where there is one.
        """
        wishes = self.wishes(value)
        free = [wish for wish in wishes if not wish.clamped]
        if not free and self.is_read_as_float(value):
            return None
        return best_type([*free, *(wish for wish in wishes if wish.clamped)])

    def wishes(self, value: str) -> tuple[Wish, ...]:
        """Return what the QuantizeLinear operators behind a value ask for, each once, direct ones first."""
        if value not in self._wishes:
            readers = sorted(self._consumers.get(value, ()), key=lambda node: node.op_type != "QuantizeLinear")
            found = (wish for node in readers for wish in self.wishes_of(node, value))
            self._wishes[value] = tuple(dict.fromkeys(found))
        return self._wishes[value]

    def wishes_of(self, node: Node, value: str) -> tuple[Wish, ...]:
        """Return what a reader of a value asks for: a QuantizeLinear, or those behind an operator that keeps types."""
        if node.op_type == "QuantizeLinear":
            type_ = read_type(node, self._constants, None, None)
            return (Wish(type_, *type_.real_range),)
        if not keeps_type(node, value):
            return ()
        behind = self.wishes(node.output)
        bounds = self.bounds(node) if node.op_type in _CLAMPS else None
        if bounds is None:
            return behind
        return tuple(Wish(w.type, max(w.low, bounds[0]), min(w.high, bounds[1]), clamped=True) for w in behind)

    def is_read_as_float(self, value: str) -> bool:
        """Whether something reads the numbers of a value that is neither a QuantizeLinear nor a clamp."""
        others = [n for n in self._consumers.get(value, ()) if n.op_type not in _READ_OTHERWISE]
        return value in self._outputs or any(
            self.is_read_as_float(n.output) if keeps_type(n, value) else True for n in others
        )

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


def keeps_type(node: Node, value: str) -> bool:
    """Whether what a node makes of a value has that value's type."""
    if node.op_type in _RESIZES:
        return node.text("mode", "nearest") == "nearest" and node.inputs[0] == value
    return node.op_type in _TYPE_KEEPING and (node.op_type == "Concat" or node.inputs[0] == value)


def best_type(wishes: Sequence[Wish]) -> QuantType | None:
    """Return the first type that serves all wishes, else the first; None where nothing is wished for."""
    return next(_serving(wishes), wishes[0].type if wishes else None)


def all_served(wishes: Sequence[Wish]) -> bool:
    """Whether one of the types serves all wishes."""
    return next(_serving(wishes), None) is not None


def _serving(wishes: Sequence[Wish]) -> Iterator[QuantType]:
    return (wish.type for wish in wishes if all(other.served_by(wish.type) for other in wishes))


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
