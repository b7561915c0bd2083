"""Between the evaluator's values and the messages of EvaluatorService."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from services.common.npz import write_npz
from services.common.targets import Target
from services.evaluator.evaluate import Evaluation
from services.evaluator.farm import BoardConfig
from services.evaluator.measure.memory import Fit, SramSplit
from services.evaluator.measure.performance import LayerFigures, Performance
from tinyfarm.v1 import compile_pb2, evaluation_pb2, metric_pb2

SCHEMA_VERSION = 1
_PROVENANCE = {"modelled": metric_pb2.PROVENANCE_MODELLED, "measured": metric_pb2.PROVENANCE_MEASURED}
# Simulators and hardware have queues of their own.
QUEUE_KINDS = {"unicorn": "sim", "qemu": "sim"}
# Characters of an array's key; a zip file has room for 65,535 bytes.
_LONGEST_KEY = 1000


def queue_of(board: BoardConfig) -> str:
    """Return the queue of a board's jobs: evaluate.<target>.<sim or hardware>."""
    return f"evaluate.{board.target}.{QUEUE_KINDS[board.kind]}"


def board_to_proto(board: BoardConfig) -> evaluation_pb2.Board:
    """Return the message of a board."""
    simulated = QUEUE_KINDS[board.kind] == "sim"
    return evaluation_pb2.Board(
        name=board.name,
        target=board.target,
        kind=evaluation_pb2.BOARD_KIND_SIM if simulated else evaluation_pb2.BOARD_KIND_HARDWARE,
        driver=board.kind,
        description=board.facts.description,
    )


def target_to_proto(target: Target) -> evaluation_pb2.Target:
    """Return the message of a target."""
    energy = target.energy
    return evaluation_pb2.Target(
        name=target.name,
        chip=target.chip,
        core=target.core,
        has_fpu=target.fpu != "none",
        has_dsp=target.dsp,
        clock_hz=target.clock_hz,
        flash_bytes=target.flash.size_bytes,
        sram_bytes=target.sram.size_bytes,
        regions=[
            evaluation_pb2.MemoryRegion(name="flash", origin=target.flash.base, size_bytes=target.flash.size_bytes),
            evaluation_pb2.MemoryRegion(
                name="sram", origin=target.sram.base, size_bytes=target.sram.size_bytes, writable=True
            ),
        ],
        energy_nj_per_cycle=energy.nj_per_cycle if energy else None,
        energy_source=energy.source if energy else "",
    )


def result_to_proto(evaluation: Evaluation) -> evaluation_pb2.EvaluationResult:
    """Return the message of an evaluation, without its artifacts."""
    flash = evaluation.flash
    result = evaluation_pb2.EvaluationResult(
        model_name=evaluation.model_name,
        board=evaluation.board,
        target=evaluation.target,
        schedule=evaluation.schedule,
        schedule_reason=evaluation.schedule_reason,
        interface=compile_pb2.INTERFACE_FLOAT if evaluation.interface == "float" else compile_pb2.INTERFACE_INT8,
        pulled_input=evaluation.pulled_input,
        macs=evaluation.macs,
        sram=_sram(evaluation.sram),
        flash=metric_pb2.FlashBytes(code=flash.code, weights=flash.weights, tables=flash.tables, total=flash.total),
        fits=evaluation.fitting,
        misfits=[_misfit(fit) for fit in evaluation.fits if not fit.ok],
        twin_equal=evaluation.twin_equal,
        samples_on_board=evaluation.board_samples,
        samples_on_twin=evaluation.samples,
        firmware_flash_bytes=next(fit.needed for fit in evaluation.fits if fit.memory == "flash"),
        schema_version=SCHEMA_VERSION,
    )
    if evaluation.accuracy is not None:
        source = f"host twin on {evaluation.accuracy.samples} samples"
        result.accuracy.CopyFrom(
            _metric("accuracy", evaluation.accuracy.value, "ratio", metric_pb2.PROVENANCE_EXACT, source)
        )
    if evaluation.performance is not None:
        _add_performance(result, evaluation.performance)
    return result


def _sram(sram: SramSplit) -> metric_pb2.SramBytes:
    return metric_pb2.SramBytes(
        input=sram.input,
        activations=sram.activations,
        line_buffers=sram.line_buffers,
        scratch=sram.scratch,
        arena=sram.arena,
        static=sram.static,
        stack=sram.stack or 0,
        total=sram.total,
    )


def _misfit(fit: Fit) -> metric_pb2.Misfit:
    return metric_pb2.Misfit(
        memory=fit.memory,
        needed_bytes=fit.needed,
        available_bytes=fit.available,
        layer=fit.layer or "",
        layer_index=fit.layer_index,
    )


def _add_performance(result: evaluation_pb2.EvaluationResult, performance: Performance) -> None:
    exact, cycles_are = metric_pb2.PROVENANCE_EXACT, _PROVENANCE[performance.cycles_kind]
    unwaiting = "the core alone, with memory that never waits"
    result.instructions.CopyFrom(_metric("instructions", performance.instructions, "count", exact))
    result.core_cycles.CopyFrom(_metric("core_cycles", performance.core_cycles, "count", cycles_are, unwaiting))
    result.cycles.CopyFrom(_timed(performance, "cycles", performance.cycles, "count", performance.cycles_source))
    result.latency.CopyFrom(_timed(performance, "latency", performance.latency_us, "us", performance.cycles_source))
    if performance.energy is not None:
        energy = performance.energy
        result.energy.CopyFrom(_timed(performance, "energy", energy.energy_uj, "uJ", energy.source))
    speed, measured = performance.simulated_mips, metric_pb2.PROVENANCE_MEASURED
    result.simulator_speed.CopyFrom(_metric("simulator_speed", speed, "MIPS", measured))
    result.layers.extend(map(_layer, performance.layers))


def _metric(
    name: str, value: float, unit: str, provenance: metric_pb2.Provenance.ValueType, source: str = ""
) -> metric_pb2.Metric:
    return metric_pb2.Metric(name=name, value=value, unit=unit, provenance=provenance, source=source)


def _timed(performance: Performance, name: str, value: float, unit: str, source: str) -> metric_pb2.Metric:
    """Return a figure that follows from the cycles, with their band."""
    metric = _metric(name, value, unit, _PROVENANCE[performance.cycles_kind], source)
    if performance.cycles_low is not None and performance.cycles_high is not None:
        low, high = performance.cycles_low / performance.cycles, performance.cycles_high / performance.cycles
        metric.band_low, metric.band_high = low, high
        metric.band = round(max(abs(low - 1), abs(high - 1)), 6)  # 0.12, not 0.12000000000000011
    return metric


def _layer(layer: LayerFigures) -> evaluation_pb2.LayerProfile:
    return evaluation_pb2.LayerProfile(
        index=layer.index,
        name=layer.name,
        op=layer.op,
        macs=layer.macs,
        output_shape=layer.output_shape,
        live_bytes=layer.live_bytes,
        instructions=layer.instructions,
        cycles=layer.cycles,
        core_cycles=layer.core_cycles,
    )


def outputs_to_npz(evaluation: Evaluation) -> bytes:
    """Return the outputs as .npz, one array a tensor by its name."""
    keys = output_keys([name for name, _ in evaluation.outputs])
    return write_npz({key: array for key, (_, array) in zip(keys, evaluation.outputs, strict=True)})


def output_keys(names: Sequence[str]) -> tuple[str, ...]:
    """Return the outputs' keys in the .npz: names as a file may be called, with a number behind what is taken."""
    keys: list[str] = []
    for number, name in enumerate(names):
        plain = name.replace("/", "_").replace("\0", "_")[:_LONGEST_KEY] or "output"
        numbered = (f"{plain}_{i}" for i in itertools.count(number))
        keys.append(next(key for key in itertools.chain([plain], numbered) if key not in keys))
    return tuple(keys)
