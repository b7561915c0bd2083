"""What every operator has: a name, the tensors it reads and the tensors it writes."""

from __future__ import annotations

from dataclasses import dataclass

from services.compiler.ir.tensor import TensorId


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What every operator has: a name (any text), the tensors read, in order, and the tensors written."""

    name: str
    inputs: tuple[TensorId, ...]
    outputs: tuple[TensorId, ...]

    @property
    def input(self) -> TensorId:
        """The first (data) input."""
        return self.inputs[0]

    @property
    def output(self) -> TensorId:
        """The first (for all but Split the only) output."""
        return self.outputs[0]

    @property
    def swept(self) -> TensorId:
        """The tensor whose rows and columns the operator goes through: a part of them is a part of its work."""
        return self.output

    @property
    def kind(self) -> str:
        """Operator name as printed in texts and reports, for instance `Conv2D`."""
        return type(self).__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedNode(Node):
    """An operator with inputs (data, weights) or (data, weights, bias)."""

    @property
    def weights(self) -> TensorId:
        """The weights tensor."""
        return self.inputs[1]

    @property
    def bias(self) -> TensorId | None:
        """The int32 (int64 for int16 activations) bias, one an output channel, or None."""
        return self.inputs[2] if len(self.inputs) > 2 else None
