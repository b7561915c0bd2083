"""What the layers of a network cost beside memory: bytes in flash and modelled work, read from their kernel calls.

The calls come from the lowering that code is generated from. No cost depends on where buffers lie or on what else is
in the network, so without weights an operator is lowered alone, once in a search for all equal ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from services.compiler.codegen.calls import lower
from services.compiler.codegen.program import ArenaRef, Program, RegionArg, Section
from services.compiler.cost_model import code_bytes, linked_bytes, load_cost_table, work, work_of_calls
from services.compiler.ir.alone import Alone, alone, tensor_order
from services.compiler.ir.ops import Reshape
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.kernels.portable_set import PARAMS_BYTES
from services.compiler.kernels.source import KernelSource
from services.compiler.memory.arena import ArenaPlan
from services.compiler.options import Core
from services.compiler.planned import Planned, params_bytes
from services.compiler.schedule.schedule import Buffer, BufferKind, Schedule, Stage, StageKind, Step

_REMEMBERED = 1 << 14


@dataclass(frozen=True, slots=True)
class NetworkCost:
    """Bytes in flash, modelled instructions, and modelled cycles without waiting for memory."""

    weights_bytes: int
    tables_bytes: int
    code_bytes: int
    instructions: float
    cycles: float


@dataclass(frozen=True, slots=True)
class _LayerCost:
    """A layer's own; functions, sources and regions are of use to several."""

    weights_bytes: int
    tables_bytes: int
    calls: int
    pointers: int
    functions: tuple[str, ...]
    sources: tuple[KernelSource, ...]
    regions: tuple[RegionArg, ...]
    instructions: float
    cycles: float


def network_cost(planned: Planned, core: Core) -> NetworkCost:
    """Return the costs of a planned network."""
    layers = _layers(planned, core)
    if layers is None:
        done = work(planned, core)
        flash = planned.weights_bytes, planned.tables_bytes, code_bytes(planned, core)
        return NetworkCost(*flash, done.instructions, done.cycles)
    regions = {region for layer in layers for region in layer.regions}
    functions = {name for layer in layers for name in layer.functions}
    sources = {source.file: source for layer in layers for source in layer.sources}
    calls, pointers = sum(layer.calls for layer in layers), sum(layer.pointers for layer in layers)
    glue = {"network": 1.0, "layers": len(layers), "calls": calls, "pointers": pointers}
    return NetworkCost(
        weights_bytes=sum(layer.weights_bytes for layer in layers),
        tables_bytes=sum(layer.tables_bytes for layer in layers) + PARAMS_BYTES["tf_region"] * len(regions),
        code_bytes=linked_bytes(load_cost_table(core, planned.kernels), functions, sources.values(), glue, core),
        instructions=sum(layer.instructions for layer in layers),
        cycles=sum(layer.cycles for layer in layers),
    )


def _layers(planned: Planned, core: Core) -> list[_LayerCost] | None:
    """Return the layers' own costs; None where one runs in turns, has weights, or reads a reshaped constant."""
    graph, sizes = planned.graph, {b.id: b.size_bytes for b in planned.schedule.buffers}
    if any(stage.turns for stage in planned.schedule.stages):
        return None
    if any(isinstance(op, Reshape) and graph.tensors[op.input].is_constant for op in graph.ops):
        return None
    found: list[_LayerCost] = []
    for step in planned.schedule.steps():
        one = alone(graph, graph.ops[step.op_index])
        if one is None:
            return None
        found.append(_layer_cost(one, planned.kernels, 0 if step.scratch is None else sizes[step.scratch], core))
    return found


@lru_cache(maxsize=_REMEMBERED)
def _layer_cost(one: Alone, kernels: KernelSet, scratch_bytes: int, core: Core) -> _LayerCost:
    program = _lowered(one, kernels, scratch_bytes)
    calls = program.layers[0].calls
    done = work_of_calls(one.graph, one.op, calls, load_cost_table(core, kernels))
    params = sum(params_bytes(call.params_type, kernels) for call in calls)
    return _LayerCost(
        weights_bytes=sum(a.size_bytes for a in program.arrays(Section.WEIGHTS)),
        tables_bytes=sum(a.size_bytes for a in program.arrays(Section.TABLE)) + params,
        calls=len(calls),
        pointers=sum(isinstance(p, ArenaRef) for call in calls for p in call.pointers),
        functions=program.functions(),
        sources=program.sources(),
        regions=program.regions(),
        instructions=done.instructions,
        cycles=done.cycles,
    )


def _lowered(one: Alone, kernels: KernelSet, scratch_bytes: int) -> Program:
    """Return the program of an operator whose buffers all lie at offset 0."""
    tensors, scratch = one.graph.tensors, len(one.graph.tensors)
    held = [t for t in tensor_order(one.op) if not tensors[t].is_constant]
    buffers = [Buffer(t, "", BufferKind.ACTIVATION, tensors[t].size_bytes, (t,)) for t in held]
    if scratch_bytes:
        buffers.append(Buffer(scratch, "", BufferKind.SCRATCH, scratch_bytes))
    reads = tuple(t for t in held if t in one.op.inputs)
    step = Step(0, reads, one.op.outputs, scratch if scratch_bytes else None)
    schedule = Schedule("", tuple(buffers), (Stage(StageKind.PER_LAYER, (step,)),), one.op.outputs)
    return lower(one.graph, schedule, ArenaPlan(dict.fromkeys((*held, scratch), 0), 0, 0, ""), kernels)
