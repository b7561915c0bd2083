"""The compiler, as the evaluator's jobs use it."""

from __future__ import annotations

from dataclasses import dataclass

from services.common.clients import Peer
from services.common.jobs.task import TaskContext
from tinyfarm.v1 import artifact_pb2, compile_pb2, compiler_pb2, compiler_pb2_grpc, job_options_pb2

# A watcher's time to see that the compile job has ended.
_MARGIN_MS = 1000


@dataclass(frozen=True, slots=True)
class CompiledLibrary:
    """A library in the artifact store, and whether it was there before."""

    artifact: artifact_pb2.Artifact
    cached: bool
    kernels: compile_pb2.Kernels.ValueType
    peak_layer: int


def compile_library(context: TaskContext, spec: compile_pb2.CompileSpec) -> CompiledLibrary:
    """Ask the compiler for a library and wait; raises the compiler's error.

    A redelivered evaluation finds the compile job that it asked for before.
    """
    with Peer(context.settings.compiler_address, context) as peer:
        stub = compiler_pb2_grpc.CompilerServiceStub(peer.channel)
        request = compiler_pb2.SubmitCompileRequest(
            project=context.project,
            request_id=f"{context.job_id}-compile",
            spec=spec,
            options=job_options_pb2.JobOptions(time_limit_ms=_limit_ms(context)),
        )
        job = peer.wait(peer.call(stub.SubmitCompile, request).job)
    result = job.compile_result
    return CompiledLibrary(result.library, job.cached, result.kernels, result.peak_layer)


def _limit_ms(context: TaskContext) -> int:
    limit_ms = int(context.settings.compile_time_limit_s * 1000)
    return max(1, min(limit_ms, int(context.remaining_s() * 1000) - _MARGIN_MS))
