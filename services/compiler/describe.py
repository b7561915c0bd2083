"""The manifest of a planned network."""

from __future__ import annotations

from math import ceil, floor

from services.compiler.codegen.kernel_files import kernel_sources
from services.compiler.codegen.names import c_identifier, layer_symbol
from services.compiler.ir.graph import Graph
from services.compiler.ir.planned_ops import PullRows
from services.compiler.ir.tensor import Tensor, TensorId
from services.compiler.library import (
    BufferFacts,
    IoTensor,
    LayerFacts,
    LibraryManifest,
    MemoryBytes,
    PlanFacts,
    SightFacts,
    TwinFacts,
)
from services.compiler.macs import op_macs
from services.compiler.options import CompileOptions
from services.compiler.passes.strip_edge_transpose import EdgeAxes, Permutation
from services.compiler.planned import Planned
from services.compiler.schedule.receptive_field import Sight, receptive_fields, seen_image
from tinyfarm import __version__


def describe(
    planned: Planned, model: Graph, options: CompileOptions, axes: EdgeAxes, twin: Planned | None = None, *, reason: str
) -> LibraryManifest:
    """Return the manifest; `model` is the graph as imported, whose inputs and outputs are as the file declares them.

    `reason` tells why this schedule was chosen.
    """
    graph, name = planned.graph, c_identifier(model.name)
    split = planned.memory.split
    return LibraryManifest(
        name=name,
        model_name=model.name,
        tool_version=__version__,
        target=options.target,
        core=options.core.value,
        kernels=planned.kernels.value,
        interface=options.interface.value,
        schedule=planned.kind.value,
        schedule_reason=reason,
        patch_grid=next((stage.grid for stage in planned.schedule.stages if stage.grid is not None), None),
        image_shape=None if (image := seen_image(graph)) is None else graph.tensors[image].shape,
        macs=planned.macs,
        header=f"{name}.h",
        sources=(f"{name}.c", f"{name}_weights.c", *kernel_sources(planned.program, planned.kernels)),
        inputs=_tensors(planned, graph.inputs, model, model.inputs, axes.inputs),
        outputs=_tensors(planned, graph.outputs, model, model.outputs, axes.outputs),
        memory=MemoryBytes(split.input, split.activations, split.line_buffers, split.scratch, split.arena),
        peak_layer=planned.memory.peak_step,
        plan=PlanFacts(planned.plan.lower_bound_bytes, planned.plan.gap_bytes, planned.plan.algorithm),
        weights_bytes=planned.weights_bytes,
        tables_bytes=planned.tables_bytes,
        layers=_layers(planned, name),
        twin=None if twin is None else _twin(twin, model, f"{name}_twin", axes),
    )


def _twin(twin: Planned, model: Graph, name: str, axes: EdgeAxes) -> TwinFacts:
    return TwinFacts(
        name=name,
        header=f"{name}.h",
        sources=(f"{name}.c", f"{name}_weights.c", *kernel_sources(twin.program, twin.kernels)),
        inputs=_tensors(twin, twin.graph.inputs, model, model.inputs, axes.inputs),
        outputs=_tensors(twin, twin.graph.outputs, model, model.outputs, axes.outputs),
    )


def pulled_input(planned: Planned) -> TensorId | None:
    """Return the input that is pulled, if one is: it lies with the caller."""
    return next((op.input for op in planned.graph.ops if isinstance(op, PullRows)), None)


def _offset_bytes(planned: Planned, tensor: TensorId) -> int:
    """Return where an output tensor lies, or an input that is not pulled."""
    return planned.plan.offsets[next(b for b in planned.schedule.buffers if tensor in b.tensors).id]


def _tensors(
    planned: Planned,
    tensors: tuple[TensorId, ...],
    model: Graph,
    model_tensors: tuple[TensorId, ...],
    permutations: tuple[Permutation, ...],
) -> tuple[IoTensor, ...]:
    return tuple(
        _tensor(planned, t, model.tensors[m], permutation)
        for t, m, permutation in zip(tensors, model_tensors, permutations, strict=True)
    )


def _tensor(planned: Planned, tensor_id: TensorId, declared: Tensor, permutation: Permutation) -> IoTensor:
    tensor = planned.graph.tensors[tensor_id]
    pulled = tensor_id == pulled_input(planned)
    return IoTensor(
        name=declared.name,
        shape=tensor.shape,
        dtype=tensor.dtype.value,
        scale=tensor.quant.scale[0] if tensor.quant else None,
        zero_point=tensor.quant.zero_point[0] if tensor.quant else None,
        offset_bytes=0 if pulled else _offset_bytes(planned, tensor_id),
        size_bytes=tensor.size_bytes,
        model_dtype=declared.dtype.value,
        model_shape=declared.shape,
        permutation=permutation,
        pulled=pulled,
    )


def _layers(planned: Planned, name: str) -> tuple[LayerFacts, ...]:
    graph, seen, facts = planned.graph, receptive_fields(planned.graph), []
    stages = [stage.kind.value for stage in planned.schedule.stages for _ in stage.steps]
    for layer in planned.program.layers:
        op = graph.ops[layer.op_index]
        facts.append(
            LayerFacts(
                index=layer.index,
                name=op.name,
                op=op.kind,
                symbol=layer_symbol(name, layer.index),
                macs=op_macs(graph, op),
                output_shape=graph.tensors[op.output].shape,
                live_bytes=planned.memory.live_bytes[layer.index],
                buffers=_live_buffers(planned, layer.index),
                stage=stages[layer.index],
                sight=_sight(seen.get(op.output)),
            )
        )
    return tuple(facts)


def _sight(sight: Sight | None) -> SightFacts | None:
    if sight is None:
        return None
    on_input = sight.swapped() if sight.transposed else sight
    rows, columns = on_input.rows, on_input.columns
    return SightFacts(
        receptive_field_hw=on_input.pixels_hw,
        step_hw=(float(rows.step), float(columns.step)),
        start_hw=(float(rows.start), float(columns.start)),
        read_hw=((floor(rows.low), ceil(rows.high)), (floor(columns.low), ceil(columns.high))),
        transposed=sight.transposed,
    )


def _live_buffers(planned: Planned, step: int) -> tuple[BufferFacts, ...]:
    buffers = {b.id: b for b in planned.schedule.buffers}
    return tuple(
        BufferFacts(buffers[r.buffer].name, buffers[r.buffer].kind.value, planned.plan.offsets[r.buffer], r.size_bytes)
        for r in planned.ranges
        if r.first <= step <= r.last
    )
