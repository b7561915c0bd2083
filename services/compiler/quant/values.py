"""Access to the tensors of one operator, with an error that names what is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from services.compiler.ir.graph import Graph
from services.compiler.ir.node import Node
from services.compiler.ir.tensor import QuantParams, TensorId, quoted
from services.compiler.ir.verify import InvalidGraphError

Array = npt.NDArray[Any]
Int8s = npt.NDArray[np.int8]


def quant_of(graph: Graph, tensor_id: TensorId) -> QuantParams:
    """Return the quantization of a tensor. Raises InvalidGraphError if it has none."""
    tensor = graph.tensors[tensor_id]
    if tensor.quant is None:
        raise InvalidGraphError(f"tensor {quoted(tensor.name)} has no quantization, which integer arithmetic needs")
    return tensor.quant


def output_zero_point(graph: Graph, op: Node) -> int:
    """Return the zero point of an operator's first output."""
    return quant_of(graph, op.output).zero_point[0]
