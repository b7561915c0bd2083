"""What a weight-free network would cost: the compiler's own plan, and models of code size and time.

Arena, weights and tables come from the very plan that code would be generated from, so they are those of the
compiled network, as long as no channel turns out constant and no weights identical, which only values tell. Code bytes,
instructions and cycles are modelled (cost_model.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.compiler.cost_model import code_bytes, load_cost_table, work
from services.compiler.errors import InvalidModelError
from services.compiler.importers.rules.types import weight_channel_axis
from services.compiler.importers.supported import check_supported
from services.compiler.ir import ops
from services.compiler.ir.graph import Graph
from services.compiler.ir.tensor import DType, QuantParams, Tensor, TensorId
from services.compiler.ir.verify import InvalidGraphError, verify
from services.compiler.macs import graph_macs, op_macs
from services.compiler.options import CompileOptions, kernel_set
from services.compiler.planned import Planned, plan_network

# Stands in for scales that are not known before training: no cost depends on them.
_SCALE = 1 / 64
# Training gives outputs that are never negative the lowest zero point, where int8 itself is their lower limit.
_RELU_ZERO_POINT = -128
_FUSING = (ops.Conv2D, ops.DepthwiseConv2D, ops.FullyConnected, ops.Add)
# TFLite fixes the output scale and zero point of these.
_FIXED_INT16 = 1 / 32768
_FIXED = {
    ops.Softmax: (1 / 256, -128),
    ops.Logistic: (1 / 256, -128),
    ops.Tanh: (1 / 128, 0),
    ops.RnnPool: (1 / 128, 0),
}


@dataclass(frozen=True, slots=True)
class LayerEstimate:
    """One layer of the plan."""

    index: int
    name: str
    op: str
    macs: int
    output_shape: tuple[int, ...]
    live_bytes: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """Costs of a network: what the plan says is exact, code bytes, instructions and cycles are modelled.

    The bands are the model's largest relative error on whole networks.
    """

    planned: Planned
    macs: int
    code_bytes: int
    instructions: float
    cycles: float
    instructions_band: float
    cycles_band: float
    layers: tuple[LayerEstimate, ...]


def estimate(network: Graph, options: CompileOptions, *, exact: bool = False) -> Estimate:
    """Return the costs of a network without weights, whose quantization may be missing.

    With `exact` the memory plan is the compiler's own also where its heuristics leave a gap: slower.

    Raises InvalidModelError for what is no graph, UnsupportedModelError for what cannot be compiled.
    """
    try:
        graph = check_supported(verify(with_quantization(network)))
    except InvalidGraphError as error:
        raise InvalidModelError(f"network {network.name!r}: {error}", subject=network.name) from None
    planned = plan_network(graph, kernel_set(options), exact=exact)
    errors = load_cost_table(options.core, planned.kernels).error
    done = work(planned, options.core)
    return Estimate(
        planned=planned,
        macs=graph_macs(graph),
        code_bytes=code_bytes(planned, options.core),
        instructions=done.instructions,
        cycles=done.cycles,
        instructions_band=errors["models instructions worst"],
        cycles_band=errors["models cycles worst"],
        layers=_layers(planned),
    )


def with_quantization(network: Graph) -> Graph:
    """Return the graph with stand-in scales where a tensor has none: one a tensor, one a channel for weights."""
    axes = {op.weights: weight_channel_axis(op) for op in network.ops if isinstance(op, ops.WeightedNode)}
    fixed = {op.output: _FIXED[type(op)] for op in network.ops if type(op) in _FIXED}
    unit = set(fixed)
    fixed |= dict.fromkeys(_clamped_at_zero(network), (_SCALE, _RELU_ZERO_POINT))
    changed: dict[TensorId, Tensor] = {}
    for tensor_id, tensor in network.tensors.items():
        if tensor.quant is None and tensor.dtype in (DType.INT4, DType.INT8, DType.UINT8, DType.INT32):
            quant = _stand_in(tensor, axes.get(tensor_id), fixed.get(tensor_id, (_SCALE, 0)))
            changed[tensor_id] = replace(tensor, quant=quant)
        elif tensor.quant is None and tensor.dtype is DType.INT16:
            scale = _FIXED_INT16 if tensor_id in unit else _SCALE
            changed[tensor_id] = replace(tensor, quant=QuantParams((scale,), (0,)))
    return network.with_tensors(changed)


def _clamped_at_zero(network: Graph) -> set[TensorId]:
    """Return the outputs of fused ReLUs whose zero point no other tensor must share."""
    joined = {t for op in network.ops if isinstance(op, ops.Concatenation) for t in op.inputs}
    relu = (ops.Activation.RELU, ops.Activation.RELU6)
    found = {op.output for op in network.ops if isinstance(op, _FUSING) and op.activation in relu}
    return found - joined


def _stand_in(tensor: Tensor, axis: int | None, of_tensor: tuple[float, int]) -> QuantParams:
    if axis is None or axis >= len(tensor.shape):
        return QuantParams((of_tensor[0],), (of_tensor[1],))
    channels = tensor.shape[axis]
    return QuantParams((_SCALE,) * channels, (0,) * channels, axis)


def _layers(planned: Planned) -> tuple[LayerEstimate, ...]:
    graph = planned.graph
    return tuple(
        LayerEstimate(
            index=layer.index,
            name=op.name,
            op=op.kind,
            macs=op_macs(graph, op),
            output_shape=graph.tensors[op.output].shape,
            live_bytes=planned.memory.live_bytes[layer.index],
        )
        for layer in planned.program.layers
        for op in (graph.ops[layer.op_index],)
    )
