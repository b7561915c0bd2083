"""Between the compiler's values and the messages of CompilerService."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never

from services.common.errors import InvalidArgumentError, UnsupportedError
from services.common.targets import Target, load_target
from services.compiler.estimate import Estimate, LayerEstimate
from services.compiler.importers.supported import support_table
from services.compiler.ir import ops
from services.compiler.ir.graph import Graph
from services.compiler.ir.tensor import DType, QuantParams, Tensor
from services.compiler.library import LayerFacts, LibraryManifest, MemoryBytes
from services.compiler.memory.report import ArenaSplit
from services.compiler.options import CompileOptions, Interface, parse_core
from services.compiler.schedule.schedule import BufferKind, Schedule, StageKind
from tinyfarm.v1 import compile_pb2, metric_pb2, network_pb2, schedule_pb2

SCHEMA_VERSION = 1
_INTERFACES = {
    compile_pb2.INTERFACE_UNSPECIFIED: Interface.INT8,
    compile_pb2.INTERFACE_INT8: Interface.INT8,
    compile_pb2.INTERFACE_FLOAT: Interface.FLOAT,
}
_ACTIVATIONS = {
    network_pb2.ACTIVATION_UNSPECIFIED: ops.Activation.NONE,
    network_pb2.ACTIVATION_RELU: ops.Activation.RELU,
    network_pb2.ACTIVATION_RELU6: ops.Activation.RELU6,
    network_pb2.ACTIVATION_RELU_N1_TO_1: ops.Activation.RELU_N1_TO_1,
}
_TO_ACTIVATION = {ours: theirs for theirs, ours in _ACTIVATIONS.items()}


def options_from_proto(target: str, options: compile_pb2.CompileOptions) -> CompileOptions:
    """Return the options; raises the error tree for an unknown target, schedule or set of kernels."""
    if options.kernels == compile_pb2.KERNELS_CORE:
        raise UnsupportedError(
            "kernels 'core' do not exist in this version: use 'portable'",
            reason="UNSUPPORTED_KERNELS",
            subject="kernels",
            value="core",
            allowed="portable",
        )
    return CompileOptions(
        target=target,
        core=parse_core(load_target(target).core),
        schedule=schedule_name(options.schedule),
        interface=_INTERFACES[options.interface],
    )


def schedule_name(request: schedule_pb2.ScheduleRequest) -> str:
    """Return what was asked for in a word: auto, per-layer, patch, patch:HxW or streaming."""
    match request.kind:
        case schedule_pb2.STAGE_KIND_PER_LAYER:
            return "per-layer"
        case schedule_pb2.STAGE_KIND_PATCH:
            grid = f":{request.patch_rows}x{request.patch_cols}" if request.patch_rows or request.patch_cols else ""
            return f"patch{grid}"
        case schedule_pb2.STAGE_KIND_STREAMING:
            return "streaming"
        case _:
            return "auto"


def sram_to_proto(memory: MemoryBytes | ArenaSplit) -> metric_pb2.SramBytes:
    """Return the arena's split; static data and stack are known after linking only."""
    return metric_pb2.SramBytes(
        input=memory.input,
        activations=memory.activations,
        line_buffers=memory.line_buffers,
        scratch=memory.scratch,
        arena=memory.arena,
        total=memory.arena,
    )


def misfits(
    target: Target, arena_bytes: int, flash_bytes: int, peak: LayerFacts | LayerEstimate | None
) -> list[metric_pb2.Misfit]:
    """Return what cannot fit the chip, whatever the firmware around it."""
    found = []
    if arena_bytes > target.sram.size_bytes:
        found.append(
            metric_pb2.Misfit(
                memory="sram",
                needed_bytes=arena_bytes,
                available_bytes=target.sram.size_bytes,
                layer=peak.name if peak else "",
                layer_index=peak.index if peak else None,
            )
        )
    if flash_bytes > target.flash.size_bytes:
        found.append(
            metric_pb2.Misfit(memory="flash", needed_bytes=flash_bytes, available_bytes=target.flash.size_bytes)
        )
    return found


def layers_to_proto(layers: Iterable[LayerFacts | LayerEstimate]) -> list[compile_pb2.LayerMemory]:
    """Return the layers' memory."""
    return [
        compile_pb2.LayerMemory(
            index=layer.index,
            name=layer.name,
            op=layer.op,
            macs=layer.macs,
            output_shape=layer.output_shape,
            live_bytes=layer.live_bytes,
        )
        for layer in layers
    ]


def result_to_proto(manifest: LibraryManifest, graph: Graph, target: Target, tool: str) -> compile_pb2.CompileResult:
    """Return the message of a compile result, without its artifact."""
    flash = metric_pb2.FlashBytes(
        weights=manifest.weights_bytes,
        tables=manifest.tables_bytes,
        total=manifest.weights_bytes + manifest.tables_bytes,
    )
    peak = next((layer for layer in manifest.layers if layer.index == manifest.peak_layer), None)
    wrong = misfits(target, manifest.memory.arena, flash.total, peak)
    return compile_pb2.CompileResult(
        name=manifest.name,
        target=manifest.target,
        interface=compile_pb2.INTERFACE_FLOAT if manifest.interface == "float" else compile_pb2.INTERFACE_INT8,
        kernels=compile_pb2.KERNELS_PORTABLE,
        schedule=manifest.schedule,
        macs=manifest.macs,
        sram=sram_to_proto(manifest.memory),
        flash=flash,
        fits=not wrong,
        misfits=wrong,
        peak_layer=manifest.peak_layer,
        layers=layers_to_proto(manifest.layers),
        network=network_to_proto(graph),
        tool_version=tool,
        manifest_json=manifest.to_json(),
        lower_bound_bytes=manifest.plan.lower_bound_bytes,
    )


def estimate_to_proto(found: Estimate, target: Target) -> compile_pb2.NetworkEstimate:
    """Return the message of an estimate for a target."""
    planned = found.planned
    flash = metric_pb2.FlashBytes(
        code=found.code_bytes,
        weights=planned.weights_bytes,
        tables=planned.tables_bytes,
        total=found.code_bytes + planned.weights_bytes + planned.tables_bytes,
    )
    peak = planned.memory.peak_step
    arena = planned.memory.split.arena
    wrong = misfits(target, arena, flash.total, found.layers[peak] if found.layers else None)
    cycles = found.cycles
    answer = compile_pb2.NetworkEstimate(
        sram=sram_to_proto(planned.memory.split),
        flash=flash,
        macs=found.macs,
        instructions=_modelled("instructions", found.instructions, "count", found.instructions_band),
        cycles=_modelled("cycles", cycles, "count", found.cycles_band),
        latency=_modelled("latency", cycles * 1e6 / target.clock_hz, "us", found.cycles_band),
        schedule=schedule_to_proto(planned.schedule, planned.plan.offsets),
        fits=not wrong,
        misfits=wrong,
        peak_layer=peak,
        has_gap=planned.plan.gap_bytes > 0,
        gap_bytes=planned.plan.gap_bytes,
        layers=layers_to_proto(found.layers),
    )
    if target.energy is not None:
        energy = _modelled("energy", cycles * target.energy.nj_per_cycle * 1e-3, "uJ", found.cycles_band)
        energy.source = target.energy.source
        answer.energy.CopyFrom(energy)
    return answer


def _modelled(name: str, value: float, unit: str, band: float) -> metric_pb2.Metric:
    return metric_pb2.Metric(
        name=name,
        value=value,
        unit=unit,
        provenance=metric_pb2.PROVENANCE_MODELLED,
        band=band,
        source="cost model of the compiler",
    )


def supported_ops_to_proto() -> list[compile_pb2.SupportedOp]:
    """Return every operator with its rules."""
    return [compile_pb2.SupportedOp(name=row.operator, restrictions=row.rules) for row in support_table()]


def schedule_to_proto(schedule: Schedule, offsets: Mapping[int, int]) -> schedule_pb2.Schedule:
    """Return the message of a planned schedule; `offsets` are the buffers' places in the arena."""
    return schedule_pb2.Schedule(
        name=schedule.name,
        schema_version=SCHEMA_VERSION,
        buffers=[
            schedule_pb2.Buffer(
                id=b.id,
                name=b.name,
                kind=_BUFFER_KINDS[b.kind],
                size_bytes=b.size_bytes,
                tensors=b.tensors,
                rows=b.rows,
                offset_bytes=offsets.get(b.id),
            )
            for b in schedule.buffers
        ],
        stages=[
            schedule_pb2.Stage(
                kind=_STAGE_KINDS[stage.kind],
                steps=[
                    schedule_pb2.Step(
                        op_index=s.op_index,
                        reads=s.reads,
                        writes=s.writes,
                        scratch=s.scratch,
                        region=schedule_pb2.Region(
                            row_start=s.region.row_start,
                            row_stop=s.region.row_stop,
                            col_start=s.region.col_start,
                            col_stop=s.region.col_stop,
                        )
                        if s.region
                        else None,
                    )
                    for s in stage.steps
                ],
            )
            for stage in schedule.stages
        ],
    )


_BUFFER_KINDS = {
    BufferKind.INPUT: schedule_pb2.BUFFER_KIND_INPUT,
    BufferKind.ACTIVATION: schedule_pb2.BUFFER_KIND_ACTIVATION,
    BufferKind.LINE_BUFFER: schedule_pb2.BUFFER_KIND_LINE_BUFFER,
    BufferKind.SCRATCH: schedule_pb2.BUFFER_KIND_SCRATCH,
}
_STAGE_KINDS = {
    StageKind.PER_LAYER: schedule_pb2.STAGE_KIND_PER_LAYER,
    StageKind.PATCH: schedule_pb2.STAGE_KIND_PATCH,
    StageKind.STREAMING: schedule_pb2.STAGE_KIND_STREAMING,
}


def network_to_proto(graph: Graph) -> network_pb2.Network:
    """Return the graph without the data of its constants."""
    return network_pb2.Network(
        name=graph.name,
        tensors=[_tensor_to_proto(i, t) for i, t in graph.tensors.items()],
        ops=[_op_to_proto(op) for op in graph.ops],
        inputs=graph.inputs,
        outputs=graph.outputs,
        schema_version=SCHEMA_VERSION,
    )


def network_from_proto(network: network_pb2.Network) -> Graph:
    """Return the weight-free graph; InvalidArgumentError where the message is no graph."""
    try:
        return Graph(
            name=network.name,
            tensors={t.id: _tensor_from_proto(t) for t in network.tensors},
            ops=tuple(_op_from_proto(op) for op in network.ops),
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


def _tensor_from_proto(tensor: network_pb2.Tensor) -> Tensor:
    quant = None
    if tensor.HasField("quant"):
        axis = tensor.quant.axis if tensor.quant.HasField("axis") else None
        quant = QuantParams(tuple(tensor.quant.scale), tuple(tensor.quant.zero_point), axis)
    dtype = DType[network_pb2.DataType.Name(tensor.dtype).removeprefix("DATA_TYPE_")]
    return Tensor(tensor.name, tuple(tensor.shape), dtype, quant, None, tensor.is_constant)


def _op_to_proto(op: ops.Op) -> network_pb2.Op:
    common = network_pb2.Op(name=op.name, inputs=op.inputs, outputs=op.outputs)
    match op:
        case ops.Conv2D():
            common.conv_2d.CopyFrom(
                network_pb2.Conv2D(
                    stride=_size(op.stride_hw),
                    dilation=_size(op.dilation_hw),
                    padding=_padding(op.padding),
                    activation=_TO_ACTIVATION[op.activation],
                )
            )
        case ops.DepthwiseConv2D():
            common.depthwise_conv_2d.CopyFrom(
                network_pb2.DepthwiseConv2D(
                    stride=_size(op.stride_hw),
                    dilation=_size(op.dilation_hw),
                    padding=_padding(op.padding),
                    activation=_TO_ACTIVATION[op.activation],
                )
            )
        case ops.FullyConnected():
            common.fully_connected.CopyFrom(network_pb2.FullyConnected(activation=_TO_ACTIVATION[op.activation]))
        case ops.Add():
            common.add.CopyFrom(network_pb2.Add(activation=_TO_ACTIVATION[op.activation]))
        case ops.Sub():
            common.sub.CopyFrom(network_pb2.Sub(activation=_TO_ACTIVATION[op.activation]))
        case ops.Mul():
            common.mul.CopyFrom(network_pb2.Mul(activation=_TO_ACTIVATION[op.activation]))
        case ops.AveragePool2D():
            common.average_pool_2d.CopyFrom(
                network_pb2.AveragePool2D(
                    kernel=_size(op.kernel_hw),
                    stride=_size(op.stride_hw),
                    padding=_padding(op.padding),
                    activation=_TO_ACTIVATION[op.activation],
                )
            )
        case ops.MaxPool2D():
            common.max_pool_2d.CopyFrom(
                network_pb2.MaxPool2D(
                    kernel=_size(op.kernel_hw),
                    stride=_size(op.stride_hw),
                    padding=_padding(op.padding),
                    activation=_TO_ACTIVATION[op.activation],
                )
            )
        case ops.Mean():
            common.mean.CopyFrom(network_pb2.Mean(axes=op.axes))
        case ops.Pad():
            common.pad.CopyFrom(network_pb2.Pad(before=op.before, after=op.after, value=op.value))
        case ops.Reshape():
            common.reshape.SetInParent()
        case ops.Softmax():
            common.softmax.CopyFrom(network_pb2.Softmax(beta=op.beta))
        case ops.Logistic():
            common.logistic.SetInParent()
        case ops.Tanh():
            common.tanh.SetInParent()
        case ops.HardSwish():
            common.hard_swish.SetInParent()
        case ops.Relu():
            common.relu.CopyFrom(network_pb2.Relu(activation=_TO_ACTIVATION[op.activation]))
        case ops.LeakyRelu():
            common.leaky_relu.CopyFrom(network_pb2.LeakyRelu(alpha=op.alpha))
        case ops.Concatenation():
            common.concatenation.CopyFrom(
                network_pb2.Concatenation(axis=op.axis, activation=_TO_ACTIVATION[op.activation])
            )
        case ops.StridedSlice():
            common.strided_slice.CopyFrom(network_pb2.StridedSlice(begin=op.begin, end=op.end, strides=op.strides))
        case ops.Split():
            common.split.CopyFrom(network_pb2.Split(axis=op.axis))
        case ops.Transpose():
            common.transpose.CopyFrom(network_pb2.Transpose(permutation=op.permutation))
        case ops.ResizeNearestNeighbor():
            common.resize_nearest_neighbor.CopyFrom(
                network_pb2.ResizeNearestNeighbor(
                    align_corners=op.align_corners, half_pixel_centers=op.half_pixel_centers
                )
            )
        case ops.Quantize():
            common.quantize.SetInParent()
        case ops.Dequantize():
            common.dequantize.SetInParent()
        case _:
            assert_never(op)
    return common


def _op_from_proto(op: network_pb2.Op) -> ops.Op:
    name, inputs, outputs = op.name, tuple(op.inputs), tuple(op.outputs)
    match op.WhichOneof("kind"):
        case "conv_2d" | "depthwise_conv_2d" as kind:
            conv = op.conv_2d if kind == "conv_2d" else op.depthwise_conv_2d
            make = ops.Conv2D if kind == "conv_2d" else ops.DepthwiseConv2D
            return make(
                name=name,
                inputs=inputs,
                outputs=outputs,
                stride_hw=_pair(conv.stride),
                dilation_hw=_pair(conv.dilation),
                padding=_sides(conv.padding),
                activation=_ACTIVATIONS[conv.activation],
            )
        case "fully_connected":
            activation = _ACTIVATIONS[op.fully_connected.activation]
            return ops.FullyConnected(name=name, inputs=inputs, outputs=outputs, activation=activation)
        case "add":
            return ops.Add(name=name, inputs=inputs, outputs=outputs, activation=_ACTIVATIONS[op.add.activation])
        case "sub":
            return ops.Sub(name=name, inputs=inputs, outputs=outputs, activation=_ACTIVATIONS[op.sub.activation])
        case "mul":
            return ops.Mul(name=name, inputs=inputs, outputs=outputs, activation=_ACTIVATIONS[op.mul.activation])
        case "average_pool_2d" | "max_pool_2d" as kind:
            pool = op.average_pool_2d if kind == "average_pool_2d" else op.max_pool_2d
            make_pool = ops.AveragePool2D if kind == "average_pool_2d" else ops.MaxPool2D
            return make_pool(
                name=name,
                inputs=inputs,
                outputs=outputs,
                kernel_hw=_pair(pool.kernel),
                stride_hw=_pair(pool.stride),
                padding=_sides(pool.padding),
                activation=_ACTIVATIONS[pool.activation],
            )
        case "mean":
            return ops.Mean(name=name, inputs=inputs, outputs=outputs, axes=tuple(op.mean.axes))
        case "pad":
            before, after = tuple(op.pad.before), tuple(op.pad.after)
            return ops.Pad(name=name, inputs=inputs, outputs=outputs, before=before, after=after, value=op.pad.value)
        case "reshape":
            return ops.Reshape(name=name, inputs=inputs, outputs=outputs)
        case "softmax":
            return ops.Softmax(name=name, inputs=inputs, outputs=outputs, beta=op.softmax.beta or 1.0)
        case "logistic":
            return ops.Logistic(name=name, inputs=inputs, outputs=outputs)
        case "tanh":
            return ops.Tanh(name=name, inputs=inputs, outputs=outputs)
        case "hard_swish":
            return ops.HardSwish(name=name, inputs=inputs, outputs=outputs)
        case "relu":
            return ops.Relu(name=name, inputs=inputs, outputs=outputs, activation=_ACTIVATIONS[op.relu.activation])
        case "leaky_relu":
            return ops.LeakyRelu(name=name, inputs=inputs, outputs=outputs, alpha=op.leaky_relu.alpha)
        case "concatenation":
            return ops.Concatenation(
                name=name,
                inputs=inputs,
                outputs=outputs,
                axis=op.concatenation.axis,
                activation=_ACTIVATIONS[op.concatenation.activation],
            )
        case "strided_slice":
            cut = op.strided_slice
            return ops.StridedSlice(
                name=name,
                inputs=inputs,
                outputs=outputs,
                begin=tuple(cut.begin),
                end=tuple(cut.end),
                strides=tuple(cut.strides),
            )
        case "split":
            return ops.Split(name=name, inputs=inputs, outputs=outputs, axis=op.split.axis)
        case "transpose":
            permutation = tuple(op.transpose.permutation)
            return ops.Transpose(name=name, inputs=inputs, outputs=outputs, permutation=permutation)
        case "resize_nearest_neighbor":
            resize = op.resize_nearest_neighbor
            return ops.ResizeNearestNeighbor(
                name=name,
                inputs=inputs,
                outputs=outputs,
                align_corners=resize.align_corners,
                half_pixel_centers=resize.half_pixel_centers,
            )
        case "quantize":
            return ops.Quantize(name=name, inputs=inputs, outputs=outputs)
        case "dequantize":
            return ops.Dequantize(name=name, inputs=inputs, outputs=outputs)
        case other:
            raise ValueError(f"operator {name!r} is of no known kind ({other})")


def _size(hw: tuple[int, int]) -> network_pb2.SizeHw:
    return network_pb2.SizeHw(height=hw[0], width=hw[1])


def _pair(size: network_pb2.SizeHw) -> tuple[int, int]:
    return size.height or 1, size.width or 1


def _padding(padding: ops.Padding) -> network_pb2.Padding:
    return network_pb2.Padding(top=padding.top, bottom=padding.bottom, left=padding.left, right=padding.right)


def _sides(padding: network_pb2.Padding) -> ops.Padding:
    return ops.Padding(padding.top, padding.bottom, padding.left, padding.right)
