"""Other weights and biases for an operator; the constants it read may be read by others too, so they stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Op
from services.compiler.ir.tensor import DType, QuantParams, Tensor, TensorId
from services.compiler.quant.folding import Weighted


def with_op(graph: Graph, old: Op, new: Op) -> Graph:
    """Return the graph with one operator in another's place."""
    return graph.with_ops(new if op is old else op for op in graph.ops)


def with_constant(
    graph: Graph, like: TensorId, data: npt.NDArray[np.generic], quant: QuantParams | None
) -> tuple[Graph, TensorId]:
    """Return the graph with one more constant, named and typed as another one."""
    added = graph.fresh_id()
    tensor = replace(graph.tensors[like], shape=data.shape, data=np.ascontiguousarray(data), quant=quant)
    return graph.with_tensors({added: tensor}), added


def with_bias(graph: Graph, op: Weighted, bias: npt.NDArray[np.int64]) -> tuple[Graph, TensorId]:
    """Return the graph with a bias for the operator, one value an output channel, for the caller to read it."""
    if op.bias is not None:
        old = graph.tensors[op.bias]
        return with_constant(graph, op.bias, bias.astype(old.dtype.numpy), old.quant)
    added = graph.fresh_id()
    data = bias.astype(np.int32)
    tensor = Tensor(f"{op.name} bias", data.shape, DType.INT32, None, data, is_constant=True)
    return graph.with_tensors({added: tensor}), added


def has_data(graph: Graph) -> bool:
    """Whether every constant has data: false for the networks whose costs are estimated before training."""
    return all(tensor.data is not None for tensor in graph.tensors.values() if tensor.is_constant)
