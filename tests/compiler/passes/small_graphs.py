"""Graphs of a few operators for pass tests, and the text of what a pass makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Op
from services.compiler.ir.tensor import DType, QuantParams, Tensor, TensorId
from services.compiler.ir.text import print_graph
from services.compiler.ir.verify import verify


def activation(*shape: int, scale: float = 0.5, zero_point: int = 0, dtype: DType = DType.INT8) -> Tensor:
    """Return a tensor that is computed; floats have no quantization."""
    return Tensor("activation", shape, dtype, None if dtype.is_float else QuantParams((scale,), (zero_point,)))


def real(*shape: int) -> Tensor:
    """Return a float32 tensor."""
    return activation(*shape, dtype=DType.FLOAT32)


def constant(data: npt.NDArray[np.int8], scale: float = 0.5) -> Tensor:
    """Return a constant with data."""
    return Tensor("constant", data.shape, DType.INT8, QuantParams((scale,), (0,)), data, is_constant=True)


def bare(*shape: int, scale: float = 0.5) -> Tensor:
    """Return a constant without data, as in a weight-free network."""
    return Tensor("bare", shape, DType.INT8, QuantParams((scale,), (0,)), is_constant=True)


def graph(
    tensors: Mapping[TensorId, Tensor],
    ops: Sequence[Op],
    outputs: Sequence[TensorId],
    inputs: Sequence[TensorId] = (0,),
) -> Graph:
    """Return a verified graph; tensor 0 is its input."""
    return verify(Graph("small", tensors, tuple(ops), tuple(inputs), tuple(outputs)))


def rewritten(rewrite: Callable[[Graph], Graph], before: Graph) -> str:
    """Return the text of the rewritten graph, checked to be valid and stable under a second rewrite."""
    after = verify(rewrite(before))
    assert print_graph(rewrite(after)) == print_graph(after)
    return print_graph(after)


def lines(*text: str) -> str:
    """Return lines joined."""
    return "\n".join(text)
