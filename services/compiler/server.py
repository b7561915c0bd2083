"""CompilerService: unpack, check what can be checked at once, queue, answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc.aio

from services.common.convert import artifact_name_from_proto, artifact_to_proto, check_enums, job_to_proto
from services.common.errors import InvalidArgumentError
from services.common.identity import tool_version
from services.common.jobs.record import JobKind, parse_project
from services.common.server.serve import Plumbing, ServicePlan
from services.common.server.submit import submission
from services.compiler.convert.options import options_from_proto
from services.compiler.convert.results import supported_ops_to_proto
from services.compiler.process_pool import ProcessPool
from services.compiler.worker import QUEUE, estimate_batch
from tinyfarm.v1 import artifact_pb2, compiler_pb2, compiler_pb2_grpc, job_pb2

# Networks that one process estimates before another call has its turn.
_CHUNK = 8
_MOST_NETWORKS = 1024
Context = grpc.aio.ServicerContext[Any, Any]


class CompilerServicer(compiler_pb2_grpc.CompilerServiceServicer):
    """Submits compile and quantize jobs; estimates in a pool of processes."""

    def __init__(self, plumbing: Plumbing, pool: ProcessPool) -> None:
        self._plumbing = plumbing
        self._pool = pool

    async def SubmitCompile(  # noqa: N802
        self, request: compiler_pb2.SubmitCompileRequest, context: Context
    ) -> compiler_pb2.SubmitCompileResponse:
        """Queue a compilation."""
        check_enums(request)
        project, spec = parse_project(request.project), request.spec
        options_from_proto(spec.target, spec.options)
        spec.model.CopyFrom(await self._artifact(spec.model, project, "spec.model"))
        job = await self._submit(request, project, JobKind.COMPILE, context)
        return compiler_pb2.SubmitCompileResponse(job=job)

    async def SubmitQuantize(  # noqa: N802
        self, request: compiler_pb2.SubmitQuantizeRequest, context: Context
    ) -> compiler_pb2.SubmitQuantizeResponse:
        """Queue a quantization."""
        check_enums(request)
        project, spec = parse_project(request.project), request.spec
        spec.model.CopyFrom(await self._artifact(spec.model, project, "spec.model"))
        spec.calibration.CopyFrom(await self._artifact(spec.calibration, project, "spec.calibration"))
        job = await self._submit(request, project, JobKind.QUANTIZE, context)
        return compiler_pb2.SubmitQuantizeResponse(job=job)

    async def Estimate(  # noqa: N802
        self, request: compiler_pb2.EstimateRequest, context: Context
    ) -> compiler_pb2.EstimateResponse:
        """Estimate a batch of networks beside the event loop."""
        check_enums(request.options, "options.")
        options_from_proto(request.target, request.options)
        count = len(request.networks)
        if count > _MOST_NETWORKS:
            raise InvalidArgumentError(
                f"{count} networks in one call: at most {_MOST_NETWORKS} are allowed",
                subject="networks",
                value=count,
                allowed=f"at most {_MOST_NETWORKS}",
            )
        parts = [
            compiler_pb2.EstimateRequest(
                networks=request.networks[start : start + _CHUNK],
                target=request.target,
                options=request.options,
                exact_plan=request.exact_plan,
                every_schedule=request.every_schedule,
            ).SerializeToString()
            for start in range(0, count, _CHUNK)
        ]
        # repeated fields of messages that follow one another are joined: cheaper on the event loop than copies
        return compiler_pb2.EstimateResponse.FromString(b"".join(await self._pool.map(parts)))

    async def ListSupportedOps(  # noqa: N802
        self, request: compiler_pb2.ListSupportedOpsRequest, context: Context
    ) -> compiler_pb2.ListSupportedOpsResponse:
        """Return every operator with its rules."""
        return compiler_pb2.ListSupportedOpsResponse(ops=supported_ops_to_proto())

    async def _artifact(self, artifact: artifact_pb2.Artifact, project: str, field: str) -> artifact_pb2.Artifact:
        name = artifact_name_from_proto(artifact, project, field)
        return artifact_to_proto(await asyncio.to_thread(self._plumbing.artifacts.stat, name))

    async def _submit(
        self,
        request: compiler_pb2.SubmitCompileRequest | compiler_pb2.SubmitQuantizeRequest,
        project: str,
        kind: JobKind,
        context: Context,
    ) -> job_pb2.Job:
        record = await self._plumbing.submitter.submit(
            submission(
                request,
                context,
                project=project,
                kind=kind,
                queue=QUEUE,
                spec=request.spec,
                default_limit_s=self._plumbing.settings.compile_time_limit_s,
                identity=tool_version(),
            )
        )
        return job_to_proto(record)


def service_plan() -> ServicePlan:
    """Return how the compiler's server is built."""

    def add(server: grpc.aio.Server, plumbing: Plumbing) -> Callable[[], Awaitable[None]]:
        pool = ProcessPool(plumbing.settings.estimate_processes, estimate_batch)
        compiler_pb2_grpc.add_CompilerServiceServicer_to_server(CompilerServicer(plumbing, pool), server)
        return pool.close

    return ServicePlan("compiler", "tinyfarm.v1.CompilerService", "127.0.0.1:50052", add)
