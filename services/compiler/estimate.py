"""What a weight-free network would cost: the compiler's own plan, and models of code size and time.

Arena, weights and tables come from the very plan that code would be generated from, so they are those of the
compiled network, as long as no channel turns out constant and no weights identical, which only values tell. Code bytes,
instructions and cycles are modelled (cost_model.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from services.compiler.cost.cost_model import load_cost_table
from services.compiler.cost.layer_cost import network_cost
from services.compiler.errors import InvalidModelError
from services.compiler.importers.supported import check_supported
from services.compiler.ir import ops
from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.same_objects import remembered_by_objects
from services.compiler.ir.tensor import DType, QuantParams, Tensor, TensorId
from services.compiler.ir.verify import InvalidGraphError, verify
from services.compiler.macs import op_macs
from services.compiler.options import CompileOptions
from services.compiler.passes.pull_input import with_input
from services.compiler.planned import Planned, scheduled_macs
from services.compiler.planner.choose import choose, choose_every
from services.compiler.planner.kinds import Choice

# Stands in for scales that are not known before training: no cost depends on them.
_SCALE = 1 / 64
# Training gives outputs that are never negative the lowest zero point, where int8 itself is their lower limit.
_RELU_ZERO_POINT = -128
_QUANTIZED = (DType.INT4, DType.INT8, DType.UINT8, DType.INT32)
_REMEMBERED_TENSORS = 1 << 15
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
    reason: str
    macs: int
    weights_bytes: int
    tables_bytes: int
    code_bytes: int
    instructions: float
    cycles: float
    instructions_band: float
    cycles_band: float
    layers: tuple[LayerEstimate, ...]


def estimate(network: Graph, options: CompileOptions, *, exact: bool = False) -> Estimate:
    """Return the costs of a network without weights, whose quantization may be missing.

    With `exact` the memory plan is the compiler's own also where its heuristics leave a gap: slower.

    The schedule is chosen as the compiler does (choose.py). Raises InvalidModelError for what is no graph,
    UnsupportedModelError for what cannot be compiled or whose input cannot be pulled where it shall be.
    """
    return _of_choice(choose(_prepared(network, options), options, exact=exact), options)


def estimate_every(
    network: Graph, options: CompileOptions, *, exact: bool = False
) -> tuple[Estimate, tuple[Estimate, ...]]:
    """Return what `estimate` does, and what is found per layer, in patches and streamed (choose.py)."""
    choice, others = choose_every(_prepared(network, options), options, exact=exact)
    found = _of_choice(choice, options)
    return found, tuple(
        replace(found, reason=other.reason) if other.planned is choice.planned else _of_choice(other, options)
        for other in others
    )


def _prepared(network: Graph, options: CompileOptions) -> Graph:
    try:
        graph = check_supported(verify(with_quantization(network)))
    except InvalidGraphError as error:
        raise InvalidModelError(f"network {network.name!r}: {error}", subject=network.name) from None
    return with_input(graph, options)


def _of_choice(choice: Choice, options: CompileOptions) -> Estimate:
    planned = choice.planned
    errors = load_cost_table(options.core, planned.kernels).error
    cost = network_cost(planned, options.core)
    return Estimate(
        planned=planned,
        reason=choice.reason,
        macs=scheduled_macs(planned.graph, planned.schedule),
        weights_bytes=cost.weights_bytes,
        tables_bytes=cost.tables_bytes,
        code_bytes=cost.code_bytes,
        instructions=cost.instructions,
        cycles=cost.cycles,
        instructions_band=errors["models instructions worst"],
        cycles_band=errors["models cycles worst"],
        layers=_layers(planned),
    )


def with_quantization(network: Graph) -> Graph:
    """Return the graph with stand-in scales where a tensor has none: one, for weights of dense layers one a channel.

    Kernels of convolutions take a multiplier a channel either way, those of dense layers one where there is one scale.
    """
    units = {op.output: _FIXED[type(op)] for op in network.ops if type(op) in _FIXED}
    fixed = units | dict.fromkeys(_clamped_at_zero(network), (_SCALE, _RELU_ZERO_POINT))
    told = {t: _stand_in(None, *of_output) for t, of_output in fixed.items()}
    for op in network.ops:
        if isinstance(op, ops.FullyConnected) and op.weights in network.tensors:
            shape = network.tensors[op.weights].shape
            told[op.weights] = _stand_in(shape[0] if shape else None, *fixed.get(op.weights, (_SCALE, 0)))
    changed: dict[TensorId, Tensor] = {}
    for tensor_id, tensor in network.tensors.items():
        if tensor.quant is None and tensor.dtype in _QUANTIZED:
            changed[tensor_id] = _quantized(tensor, told.get(tensor_id, _PLAIN))
        elif tensor.quant is None and tensor.dtype is DType.INT16:
            changed[tensor_id] = _quantized(tensor, _UNIT if tensor_id in units else _PLAIN)
    return network.with_tensors(changed)


def _clamped_at_zero(network: Graph) -> set[TensorId]:
    """Return the outputs of fused ReLUs whose zero point no other tensor must share."""
    joined = {t for op in network.ops if isinstance(op, ops.Concatenation) for t in op.inputs}
    relu = (Activation.RELU, Activation.RELU6)
    found = {op.output for op in network.ops if isinstance(op, _FUSING) and op.activation in relu}
    return found - joined


@lru_cache(maxsize=1024)
def _stand_in(channels: int | None, scale: float, zero_point: int) -> QuantParams:
    """Return scales along dimension 0 where there are channels: one each, or one if that costs the same."""
    if channels is None:
        return QuantParams((scale,), (zero_point,))
    return QuantParams((scale,) * channels, (zero_point,) * channels, 0)


_PLAIN, _UNIT = QuantParams((_SCALE,), (0,)), QuantParams((_FIXED_INT16,), (0,))


@remembered_by_objects(_REMEMBERED_TENSORS)
def _quantized(tensor: Tensor, quant: QuantParams) -> Tensor:
    return Tensor(tensor.name, tensor.shape, tensor.dtype, quant, tensor.data, tensor.is_constant)


def _layers(planned: Planned) -> tuple[LayerEstimate, ...]:
    graph, operators = planned.graph, [planned.graph.ops[step.op_index] for step in planned.schedule.steps()]
    return tuple(
        [
            LayerEstimate(index, op.name, op.kind, op_macs(graph, op), graph.tensors[op.output].shape, live_bytes)
            for index, (op, live_bytes) in enumerate(zip(operators, planned.memory.live_bytes, strict=True))
        ]
    )
