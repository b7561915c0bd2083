"""The compiler's jobs, as its child processes run them."""

from __future__ import annotations

from dataclasses import replace

from services.common.convert import artifact_to_proto, error_to_proto
from services.common.errors import FarmError
from services.common.identity import tool_version
from services.common.jobs.record import JobKind
from services.common.jobs.task import TaskContext, TaskResult
from services.common.jobs.worker import WorkerPlan
from services.common.npz import read_npz
from services.common.settings import Settings
from services.common.targets import load_target
from services.compiler.convert.network import network_from_proto
from services.compiler.convert.options import options_from_proto
from services.compiler.convert.quantize import fidelity_to_proto, quantize_options_from_proto
from services.compiler.convert.results import estimate_to_proto, result_to_proto
from services.compiler.estimate import Estimate, estimate, estimate_every
from services.compiler.importers.onnx.proto import read_model
from services.compiler.options import CompileOptions
from services.compiler.pipeline import compile_model
from services.compiler.quantize import WeightType, fidelity, quantize_onnx
from services.compiler.quantize.calibration import samples_of
from tinyfarm.v1 import compile_pb2, compiler_pb2, network_pb2

QUEUE = "compile"


def compile_task(spec: bytes, context: TaskContext) -> TaskResult:
    """Compile a model to a C library."""
    wanted = compile_pb2.CompileSpec.FromString(spec)
    context.progress(0.05, "import the model")
    model = context.artifacts.get_bytes(wanted.model.name)
    options = options_from_proto(wanted.target, wanted.options)
    compiled = compile_model(model, wanted.model_name or "model", options)
    context.progress(0.9, "store the library")
    library = context.artifacts.put_bytes(context.project, compiled.library_zip)
    result = result_to_proto(compiled, load_target(wanted.target), tool_version())
    result.library.CopyFrom(artifact_to_proto(library))
    return TaskResult(result.SerializeToString(), (library.name,))


def quantize_task(spec: bytes, context: TaskContext) -> TaskResult:
    """Quantize a float ONNX model on the arrays that the calibration data holds for its inputs."""
    wanted = compile_pb2.QuantizeSpec.FromString(spec)
    context.progress(0.05, "read model and calibration data")
    model = context.artifacts.get_bytes(wanted.model.name)
    arrays = read_npz(context.artifacts.get_bytes(wanted.calibration.name))
    options = quantize_options_from_proto(wanted)
    context.progress(0.1, "calibrate and quantize")
    samples = samples_of(read_model(model).inputs, arrays)
    quantized = quantize_onnx(model, samples, options)
    context.progress(0.6, "compare with the float model")
    metrics = fidelity_to_proto(fidelity(model, quantized, samples, options))
    if options.weights is not WeightType.INT8:
        context.progress(0.8, "compare with int8 weights")
        int8 = quantize_onnx(model, samples, replace(options, weights=WeightType.INT8))
        metrics += fidelity_to_proto(fidelity(model, int8, samples, options), suffix="_int8_weights")
    stored = context.artifacts.put_bytes(context.project, quantized)
    result = compile_pb2.QuantizeResult(model=artifact_to_proto(stored), metrics=metrics, tool_version=tool_version())
    return TaskResult(result.SerializeToString(), (stored.name,))


def estimate_batch(request: bytes) -> bytes:
    """Answer a serialized EstimateRequest; a network that cannot be compiled gets its error, the others their costs."""
    wanted = compiler_pb2.EstimateRequest.FromString(request)
    options = options_from_proto(wanted.target, wanted.options)
    estimates = [_estimate(network, options, wanted) for network in wanted.networks]
    return compiler_pb2.EstimateResponse(estimates=estimates).SerializeToString()


def _estimate(
    network: network_pb2.Network, options: CompileOptions, wanted: compiler_pb2.EstimateRequest
) -> compile_pb2.NetworkEstimate:
    try:
        graph = network_from_proto(network)
        schedules: tuple[Estimate, ...] = ()
        if wanted.every_schedule:
            found, schedules = estimate_every(graph, options, exact=wanted.exact_plan)
        else:
            found = estimate(graph, options, exact=wanted.exact_plan)
        return estimate_to_proto(found, load_target(options.target), schedules)
    except FarmError as error:
        return compile_pb2.NetworkEstimate(error=error_to_proto(error))


def worker_plan(settings: Settings) -> WorkerPlan:
    """Return what the compiler's workers do."""
    module = "services.compiler.worker"
    handlers = {JobKind.COMPILE: f"{module}:compile_task", JobKind.QUANTIZE: f"{module}:quantize_task"}
    return WorkerPlan("compiler", handlers, (QUEUE,))
