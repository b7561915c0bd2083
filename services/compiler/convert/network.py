"""Graphs without the data of their constants, to and from messages: what a search asks estimates of."""

from __future__ import annotations

from functools import cache, lru_cache

from services.common.errors import InvalidArgumentError
from services.compiler.convert.operators import op_from_proto, op_to_proto
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Op
from services.compiler.ir.tensor import DType, QuantParams, Tensor
from tinyfarm.v1 import network_pb2

SCHEMA_VERSION = 1

# In a search the same tensors and operators come again and again: equal messages become one object. Those with many
# scales are read anew.
_REMEMBERED, _REMEMBERED_BYTES = 1 << 15, 256


def network_to_proto(graph: Graph) -> network_pb2.Network:
    """Return the graph without the data of its constants."""
    return network_pb2.Network(
        name=graph.name,
        tensors=[_tensor_to_proto(i, t) for i, t in graph.tensors.items()],
        ops=[op_to_proto(op) for op in graph.ops],
        inputs=graph.inputs,
        outputs=graph.outputs,
        schema_version=SCHEMA_VERSION,
    )


def network_from_proto(network: network_pb2.Network) -> Graph:
    """Return the weight-free graph; InvalidArgumentError where the message is no graph."""
    try:
        return Graph(
            name=network.name,
            tensors={t.id: _tensor(t) for t in network.tensors},
            ops=tuple([_op(op.SerializeToString()) for op in network.ops]),
            inputs=tuple(network.inputs),
            outputs=tuple(network.outputs),
        )
    except (ValueError, KeyError) as error:
        raise InvalidArgumentError(
            f"network {network.name!r} is not a valid graph: {error}",
            reason="INVALID_NETWORK",
            subject=network.name,
            value=error,
        ) from None


def _tensor_to_proto(tensor_id: int, tensor: Tensor) -> network_pb2.Tensor:
    quant = tensor.quant
    return network_pb2.Tensor(
        id=tensor_id,
        name=tensor.name,
        shape=tensor.shape,
        dtype=network_pb2.DataType.Value(f"DATA_TYPE_{tensor.dtype.name}"),
        quant=network_pb2.QuantParams(scale=quant.scale, zero_point=quant.zero_point, axis=quant.axis)
        if quant
        else None,
        is_constant=tensor.is_constant,
    )


def _tensor(tensor: network_pb2.Tensor) -> Tensor:
    told = tensor.SerializeToString()
    return _known_tensor(told) if len(told) <= _REMEMBERED_BYTES else _tensor_from_proto(tensor)


@lru_cache(maxsize=_REMEMBERED)
def _known_tensor(told: bytes) -> Tensor:
    return _tensor_from_proto(network_pb2.Tensor.FromString(told))


@lru_cache(maxsize=_REMEMBERED)
def _op(told: bytes) -> Op:
    return op_from_proto(network_pb2.Op.FromString(told))


def _tensor_from_proto(tensor: network_pb2.Tensor) -> Tensor:
    quant = None
    if tensor.HasField("quant"):
        axis = tensor.quant.axis if tensor.quant.HasField("axis") else None
        quant = QuantParams(tuple(tensor.quant.scale), tuple(tensor.quant.zero_point), axis)
    return Tensor(tensor.name, tuple(tensor.shape), _dtype(tensor.dtype), quant, None, tensor.is_constant)


@cache
def _dtype(number: network_pb2.DataType.ValueType) -> DType:
    return DType[network_pb2.DataType.Name(number).removeprefix("DATA_TYPE_")]
