"""The tensors of a graph under construction, and typed access to an operator's tensors."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from services.compiler.errors import InvalidModelError, UnsupportedModelError
from services.compiler.importers.tflite_file import ABSENT, FileOperator, TfliteFile
from services.compiler.ir.tensor import Tensor, TensorId, quoted


@dataclass(slots=True)
class GraphBuilder:
    """Collects the tensors that operators name; a tensor's id is its index in the file, added ones follow."""

    file: TfliteFile
    tensors: dict[TensorId, Tensor] = field(default_factory=dict)
    added: int = 0

    def tensor_id(self, index: int) -> TensorId:
        """Return the id of tensor `index` of the file, reading it at its first use."""
        if index not in self.tensors:
            self.tensors[index] = self.file.tensor(index)
        return index

    def add(self, tensor: Tensor) -> TensorId:
        """Return the id of a tensor that the file does not hold."""
        new_id = int(self.file.subgraph.TensorsLength()) + self.added
        self.added += 1
        self.tensors[new_id] = tensor
        return new_id

    def inputs(self, operator: FileOperator, count: int) -> tuple[TensorId, ...]:
        """Return the ids of the first `count` inputs, all of which must be there."""
        return tuple(self._required(operator, operator.inputs, i, "input") for i in range(count))

    def output(self, operator: FileOperator) -> TensorId:
        """Return the id of the only output."""
        if len(operator.outputs) != 1:
            raise InvalidModelError(f"{operator} has {len(operator.outputs)} outputs: must have 1")
        return self._required(operator, operator.outputs, 0, "output")

    def optional(self, operator: FileOperator, position: int) -> TensorId | None:
        """Return the id of an input that may be missing."""
        if position >= len(operator.inputs) or operator.inputs[position] == ABSENT:
            return None
        return self.tensor_id(operator.inputs[position])

    def integers(self, operator: FileOperator, position: int) -> tuple[int, ...]:
        """Return the values of a constant integer input, flattened."""
        return tuple(int(v) for v in self.constant(operator, position).reshape(-1))

    def constant(self, operator: FileOperator, position: int) -> npt.NDArray[np.generic]:
        """Return the data of a constant integer input."""
        tensor = self.tensors[self._required(operator, operator.inputs, position, "input")]
        if tensor.data is None:
            raise UnsupportedModelError(
                f"{operator}: input {position} ({quoted(tensor.name)}) is computed: must be a constant in the file"
            )
        if tensor.dtype.is_float:
            raise InvalidModelError(
                f"{operator}: input {position} ({quoted(tensor.name)}) is float32: must be an integer"
            )
        return tensor.data

    def name(self, operator: FileOperator) -> str:
        """Return the operator's name: that of its first output, as TFLite operators have none."""
        return self.tensors[self.tensor_id(operator.outputs[0])].name or f"{operator.kind.lower()}_{operator.index}"

    def _required(self, operator: FileOperator, indices: tuple[int, ...], position: int, what: str) -> TensorId:
        if position >= len(indices) or indices[position] == ABSENT:
            raise InvalidModelError(f"{operator} has no {what} {position}: it is required")
        return self.tensor_id(indices[position])
