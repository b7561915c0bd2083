"""An ONNX graph as the importer reads it: frozen nodes, constants as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Attribute = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...] | Array


@dataclass(frozen=True, slots=True)
class Node:
    """One operator; an optional input that is left out is the empty name."""

    name: str
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)

    @property
    def output(self) -> str:
        """The first output."""
        return self.outputs[0]

    def input_or_none(self, index: int) -> str | None:
        """Return the name of an input, or None where it is left out."""
        return (self.inputs[index] or None) if index < len(self.inputs) else None

    def integer(self, name: str, default: int) -> int:
        """Return an integer attribute."""
        value = self.attributes.get(name, default)
        return value if isinstance(value, int) else default

    def real(self, name: str, default: float) -> float:
        """Return a float attribute."""
        value = self.attributes.get(name, default)
        return float(value) if isinstance(value, int | float) else default

    def text(self, name: str, default: str) -> str:
        """Return a string attribute."""
        value = self.attributes.get(name, default)
        return value if isinstance(value, str) else default

    def integers(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """Return a list-of-integers attribute."""
        value = self.attributes.get(name)
        return tuple(int(v) for v in value) if isinstance(value, tuple) else default


@dataclass(frozen=True, slots=True)
class Port:
    """A model input or output: name, element type in numpy's words, and shape with batch 1."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A checked ONNX graph, `nodes` in execution order. Shapes of inner values are the importer's to find."""

    name: str
    opset: int
    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def consumers(self) -> dict[str, tuple[Node, ...]]:
        """Return the nodes that read each value, in execution order."""
        readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for value in dict.fromkeys(node.inputs):
                readers.setdefault(value, []).append(node)
        return {value: tuple(nodes) for value, nodes in readers.items()}

    def producers(self) -> dict[str, Node]:
        """Return the node that writes each value."""
        return {value: node for node in self.nodes for value in node.outputs if value}


def scalar(array: Array) -> float:
    """Return the only element of an array as a float. Raises ValueError where there are more or none."""
    if array.size != 1:
        raise ValueError(f"{array.size} elements where one is needed")
    return float(np.asarray(array, dtype=np.float64).reshape(-1)[0])
