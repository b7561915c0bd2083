"""What the layers of a network cost beside memory: bytes in flash and modelled work, read from their kernel calls.

The calls come from the lowering that code is generated from. No cost depends on where buffers lie or on what else is
in the network, so without weights an operator is lowered alone, once in a search for all equal ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from services.compiler.codegen.calls import lower
from services.compiler.codegen.program import Program, RegionArg, Section
from services.compiler.cost.cost_model import code_bytes, layer_work, linked_bytes, load_cost_table, work
from services.compiler.cost.glue_counts import Glue, layer_glue, network_glue
from services.compiler.cost.turn_counts import Box, Widths
from services.compiler.ir.alone import Alone, alone, isolated, own_fact, tensor_order
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Op, Reshape
from services.compiler.ir.tensor import TensorId
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.kernels.portable_set import PARAMS_BYTES
from services.compiler.kernels.source import KernelSource
from services.compiler.memory.arena import ArenaPlan
from services.compiler.options import Core
from services.compiler.planned import TURN_BYTES, Planned, params_bytes
from services.compiler.schedule.schedule import Buffer, BufferId, BufferKind, Schedule, Stage, StageKind, Step

_REMEMBERED = 1 << 15


@dataclass(frozen=True, slots=True)
class NetworkCost:
    """Bytes in flash, modelled instructions, and modelled cycles without waiting for memory."""

    weights_bytes: int
    tables_bytes: int
    code_bytes: int
    instructions: float
    cycles: float


@dataclass(frozen=True, slots=True)
class InTurns:
    """How a layer runs in a stage: `boxes` of its output, of at most `extent` rows and columns; `widths` are the
    columns of the buffers of a patch.
    """

    kind: StageKind
    extent: tuple[int, int]
    boxes: tuple[Box, ...]
    widths: Widths = (None, None)


class Setting(NamedTuple):
    """Kernels, the core that they run on, scratch, and the turns that they take, if any."""

    kernels: KernelSet
    core: Core
    scratch_bytes: int
    turns: InTurns | None = None


@dataclass(frozen=True, slots=True)
class LayerCost:
    """A layer's own; functions, sources and regions are of use to several."""

    weights_bytes: int
    tables_bytes: int
    glue: Glue
    functions: tuple[str, ...]
    sources: tuple[KernelSource, ...]
    regions: tuple[RegionArg, ...]
    instructions: float
    cycles: float


def network_cost(planned: Planned, core: Core) -> NetworkCost:
    """Return the costs of a planned network."""
    if any(isinstance(op, Reshape) and planned.graph.tensors[op.input].is_constant for op in planned.graph.ops):
        done = work(planned, core)  # a layer by itself would not see that what it reads is a constant
        flash = planned.weights_bytes, planned.tables_bytes, code_bytes(planned, core)
        return NetworkCost(*flash, done.instructions, done.cycles)
    layers = list(_layers(planned, core))
    regions = set[RegionArg]().union(*[layer.regions for layer in layers])
    functions = set[str]().union(*[layer.functions for layer in layers])
    sources = {source.file: source for layer in layers for source in layer.sources}
    glue = network_glue(planned.graph, planned.schedule, [layer.glue for layer in layers])
    turns = sum([TURN_BYTES[stage.kind] * len(stage.turns) for stage in planned.schedule.stages if stage.turns])
    return NetworkCost(
        weights_bytes=_weights_bytes(planned, layers),
        tables_bytes=sum([layer.tables_bytes for layer in layers]) + PARAMS_BYTES["tf_region"] * len(regions) + turns,
        code_bytes=linked_bytes(load_cost_table(core, planned.kernels), functions, sources.values(), glue, core),
        instructions=sum([layer.instructions for layer in layers]),
        cycles=sum([layer.cycles for layer in layers]),
    )


def _weights_bytes(planned: Planned, layers: Sequence[LayerCost]) -> int:
    """Return the bytes of weights; layers with the same constants share them, as those of an image made again do."""
    found: dict[tuple[tuple[TensorId, ...], int], int] = {}
    for step, layer in zip(planned.schedule.steps(), layers, strict=True):
        op = planned.graph.ops[step.op_index]
        constants = tuple([t for t in op.inputs if planned.graph.tensors[t].is_constant])
        found[constants or op.outputs, layer.weights_bytes] = layer.weights_bytes
    return sum(found.values())


def _layers(planned: Planned, core: Core) -> Iterator[LayerCost]:
    buffers = {b.id: b for b in planned.schedule.buffers}
    for stage in planned.schedule.stages:
        boxes: list[list[Box]] = [[] for _ in stage.steps]
        for turn in stage.turns:
            region = turn.region
            boxes[turn.step].append(((region.row_start, region.row_stop), (region.col_start, region.col_stop)))
        for step, own in zip(stage.steps, boxes, strict=True):
            scratch_bytes = 0 if step.scratch is None else buffers[step.scratch].size_bytes
            turns = None
            if step.extent is not None:
                turns = InTurns(stage.kind, step.extent, tuple(own), _widths(step, buffers))
            setting = Setting(planned.kernels, core, scratch_bytes, turns)
            yield layer_cost(planned.graph, planned.graph.ops[step.op_index], setting)


def _widths(step: Step, buffers: Mapping[BufferId, Buffer]) -> Widths:
    source = buffers[step.reads[0]].columns if step.reads else None  # pulled rows are read from no buffer
    return source, buffers[step.writes[0]].columns


def layer_cost(graph: Graph, op: Op, setting: Setting) -> LayerCost:
    """Return the costs of one layer; those of equal operators without values are remembered for all graphs."""
    if (one := alone(graph, op)) is not None:
        return _remembered_cost(one, setting)
    return own_fact(graph, (layer_cost, op, setting), lambda: _cost(isolated(graph, op), setting))


def _cost(one: Alone, setting: Setting) -> LayerCost:
    kernels, turns, table = setting.kernels, setting.turns, load_cost_table(setting.core, setting.kernels)
    program = _lowered(one, setting)
    (layer,) = program.layers
    boxes, widths = ((), None) if turns is None else (turns.boxes, turns.widths)
    done = layer_work(one.graph, layer, boxes, table, widths)
    params = sum(params_bytes(call.params_type, kernels) for call in layer.calls)
    return LayerCost(
        weights_bytes=sum(a.size_bytes for a in program.arrays(Section.WEIGHTS)),
        tables_bytes=sum(a.size_bytes for a in program.arrays(Section.TABLE)) + params,
        glue=layer_glue(layer),
        functions=program.functions(),
        sources=program.sources(),
        regions=program.regions(),
        instructions=done.instructions,
        cycles=done.cycles,
    )


_remembered_cost = lru_cache(maxsize=_REMEMBERED)(_cost)


def _lowered(one: Alone, setting: Setting) -> Program:
    """Return the program of an operator whose buffers hold whole tensors and all lie at offset 0."""
    tensors, scratch, turns = one.graph.tensors, len(one.graph.tensors), setting.turns
    held = [t for t in tensor_order(one.op) if not tensors[t].is_constant]
    source, result = (None, None) if turns is None else turns.widths
    columns = {one.op.output: result} | ({held[0]: source} if held[0] in one.op.inputs else {})
    buffers = [Buffer(t, "", BufferKind.ACTIVATION, tensors[t].size_bytes, (t,), None, columns.get(t)) for t in held]
    if setting.scratch_bytes:
        buffers.append(Buffer(scratch, "", BufferKind.SCRATCH, setting.scratch_bytes))
    reads = tuple(t for t in held if t in one.op.inputs)
    kind, extent = (StageKind.PER_LAYER, None) if turns is None else (turns.kind, turns.extent)
    step = Step(0, reads, one.op.outputs, scratch if setting.scratch_bytes else None, extent)
    schedule = Schedule("", tuple(buffers), (Stage(kind, (step,)),), one.op.outputs)
    return lower(one.graph, schedule, ArenaPlan(dict.fromkeys((*held, scratch), 0), 0, 0, ""), setting.kernels)
