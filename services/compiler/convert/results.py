"""From compiled and estimated networks to the messages of results, and the table of supported operators."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from services.common.targets import Target
from services.compiler.convert.network import network_to_proto
from services.compiler.convert.schedule import fill_schedule, stage_kind_to_proto
from services.compiler.estimate import Estimate, LayerEstimate
from services.compiler.importers.supported import support_table
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.library import LayerFacts, MemoryBytes
from services.compiler.memory.report import ArenaSplit
from services.compiler.pipeline import Compiled
from tinyfarm.v1 import compile_pb2, metric_pb2

_REMEMBERED_LAYERS = 1 << 14
_SOURCE, _WITHOUT_WAITS = "cost model of the compiler", "the core alone, without waiting for flash"


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
    return [_layer((f.index, f.name, f.op, f.macs, f.output_shape, f.live_bytes)) for f in layers]


@lru_cache(maxsize=_REMEMBERED_LAYERS)
def _layer(told: tuple[int, str, str, int, tuple[int, ...], int]) -> compile_pb2.LayerMemory:
    """Return the message of a layer, which is copied where it is used: many networks of a search have the same ones."""
    index, name, op, macs, output_shape, live_bytes = told
    return compile_pb2.LayerMemory(
        index=index, name=name, op=op, macs=macs, output_shape=output_shape, live_bytes=live_bytes
    )


def result_to_proto(compiled: Compiled, target: Target, tool: str) -> compile_pb2.CompileResult:
    """Return the message of a compile result, without its artifact.

    Whether it fits is told by what is certain: weights and tables without the modelled code.
    """
    manifest, code = compiled.manifest, compiled.code_bytes or 0
    constants = manifest.weights_bytes + manifest.tables_bytes
    flash = metric_pb2.FlashBytes(
        code=code, weights=manifest.weights_bytes, tables=manifest.tables_bytes, total=code + constants
    )
    peak = next((layer for layer in manifest.layers if layer.index == manifest.peak_layer), None)
    wrong = misfits(target, manifest.memory.arena, constants, peak)
    return compile_pb2.CompileResult(
        name=manifest.name,
        target=manifest.target,
        interface=compile_pb2.INTERFACE_FLOAT if manifest.interface == "float" else compile_pb2.INTERFACE_INT8,
        kernels=kernels_to_proto(manifest.kernels),
        schedule=manifest.schedule,
        schedule_reason=manifest.schedule_reason,
        macs=manifest.macs,
        sram=sram_to_proto(manifest.memory),
        flash=flash,
        fits=not wrong,
        misfits=wrong,
        peak_layer=manifest.peak_layer,
        layers=layers_to_proto(manifest.layers),
        network=network_to_proto(compiled.graph),
        tool_version=tool,
        manifest_json=manifest.to_json(),
        lower_bound_bytes=manifest.plan.lower_bound_bytes,
    )


def kernels_to_proto(kernel_set: str) -> compile_pb2.Kernels.ValueType:
    """Return what the C code holds, whatever was asked for: some cores have one form of their kernels only."""
    match KernelSet(kernel_set):
        case KernelSet.PORTABLE:
            return compile_pb2.KERNELS_PORTABLE
        case KernelSet.THUMB2_SMALL:
            return compile_pb2.KERNELS_SMALL
        case KernelSet.THUMB2 | KernelSet.THUMB1:
            return compile_pb2.KERNELS_CORE


def schedule_estimate_to_proto(found: Estimate, target: Target) -> compile_pb2.ScheduleEstimate:
    """Return the message of an estimate as one of several schedules."""
    planned = found.planned
    return compile_pb2.ScheduleEstimate(
        kind=stage_kind_to_proto(planned.kind),
        reason=found.reason,
        sram=sram_to_proto(planned.memory.split),
        flash=_estimated_flash(found),
        macs=found.macs,
        instructions=_modelled("instructions", found.instructions, "count", found.instructions_band),
        cycles=_modelled("cycles", found.cycles, "count", found.cycles_band),
        latency=_modelled("latency", found.cycles * 1e6 / target.clock_hz, "us", found.cycles_band),
        gap_bytes=planned.plan.gap_bytes,
    )


def _estimated_flash(found: Estimate) -> metric_pb2.FlashBytes:
    return metric_pb2.FlashBytes(
        code=found.code_bytes,
        weights=found.weights_bytes,
        tables=found.tables_bytes,
        total=found.code_bytes + found.weights_bytes + found.tables_bytes,
    )


def estimate_to_proto(
    found: Estimate, target: Target, schedules: Iterable[Estimate] = ()
) -> compile_pb2.NetworkEstimate:
    """Return the message of an estimate for a target, with those of other schedules."""
    planned, flash = found.planned, _estimated_flash(found)
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
        fits=not wrong,
        misfits=wrong,
        peak_layer=peak,
        has_gap=planned.plan.gap_bytes > 0,
        gap_bytes=planned.plan.gap_bytes,
        layers=layers_to_proto(found.layers),
        schedule_reason=found.reason,
        schedules=[schedule_estimate_to_proto(one, target) for one in schedules],
    )
    fill_schedule(answer.schedule, planned.schedule, planned.plan.offsets)
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
        source=_SOURCE if name == "instructions" else f"{_SOURCE}: {_WITHOUT_WAITS}",
    )


def supported_ops_to_proto() -> list[compile_pb2.SupportedOp]:
    """Return every operator with its rules."""
    return [compile_pb2.SupportedOp(name=row.operator, restrictions=row.rules) for row in support_table()]
