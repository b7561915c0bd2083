"""A service with the real plumbing whose jobs are those of plumbing_tasks: `python -m ... server | worker`."""

from __future__ import annotations

import sys
from typing import Any

import grpc.aio

from services.common.convert import job_to_proto
from services.common.jobs.record import JobKind, parse_project
from services.common.jobs.worker import WorkerPlan
from services.common.process import run_service
from services.common.server.serve import Plumbing, ServicePlan
from services.common.server.submit import submission
from tinyfarm.v1 import compiler_pb2, compiler_pb2_grpc


class Servicer(compiler_pb2_grpc.CompilerServiceServicer):
    def __init__(self, plumbing: Plumbing) -> None:
        self._submitter = plumbing.submitter

    async def SubmitCompile(
        self, request: compiler_pb2.SubmitCompileRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> compiler_pb2.SubmitCompileResponse:
        record = await self._submitter.submit(
            submission(
                request,
                context,
                project=parse_project(request.project),
                kind=JobKind.COMPILE,
                queue="compile",
                spec=request.spec,
                default_limit_s=60,
                identity="1" if request.spec.target else None,
            )
        )
        return compiler_pb2.SubmitCompileResponse(job=job_to_proto(record))


def service_plan() -> ServicePlan:
    def add(server: grpc.aio.Server, plumbing: Plumbing) -> None:
        compiler_pb2_grpc.add_CompilerServiceServicer_to_server(Servicer(plumbing), server)

    return ServicePlan("compiler", "tinyfarm.v1.CompilerService", "127.0.0.1:0", add)


def worker_plan(settings: object) -> WorkerPlan:
    return WorkerPlan("compiler", {JobKind.COMPILE: "tests.integration.plumbing_tasks:run"}, ("compile",))


if __name__ == "__main__":
    sys.exit(run_service(sys.argv[1:], service_plan, worker_plan))
