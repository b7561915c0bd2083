"""EvaluatorService: unpack, check what can be checked at once, queue, answer."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio

from services.common.convert import artifact_name_from_proto, artifact_to_proto, check_enums, job_to_proto
from services.common.errors import InvalidArgumentError
from services.common.identity import tool_version
from services.common.jobs.record import JobKind, parse_project
from services.common.server.serve import Plumbing, ServicePlan
from services.common.server.submit import submission
from services.common.targets import all_targets
from services.evaluator.convert import board_to_proto, queue_of, target_to_proto
from services.evaluator.farm import Farm, load_farm
from tinyfarm.v1 import evaluation_pb2, evaluator_pb2, evaluator_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class EvaluatorServicer(evaluator_pb2_grpc.EvaluatorServiceServicer):
    """Submits evaluations to the queue of their board."""

    def __init__(self, plumbing: Plumbing, farm: Farm) -> None:
        self._plumbing = plumbing
        self._farm = farm

    async def SubmitEvaluation(  # noqa: N802
        self, request: evaluator_pb2.SubmitEvaluationRequest, context: Context
    ) -> evaluator_pb2.SubmitEvaluationResponse:
        """Queue an evaluation."""
        check_enums(request)
        project, spec = parse_project(request.project), request.spec
        board = self._farm.board(spec.board)
        await self._complete(spec, project)
        record = await self._plumbing.submitter.submit(
            submission(
                request,
                context,
                project=project,
                kind=JobKind.EVALUATE,
                queue=queue_of(board),
                spec=spec,
                default_limit_s=self._plumbing.settings.evaluate_time_limit_s,
                identity=f"{tool_version()} {board.model_dump_json()}",
            )
        )
        return evaluator_pb2.SubmitEvaluationResponse(job=job_to_proto(record))

    async def ListBoards(  # noqa: N802
        self, request: evaluator_pb2.ListBoardsRequest, context: Context
    ) -> evaluator_pb2.ListBoardsResponse:
        """Return the farm's boards."""
        return evaluator_pb2.ListBoardsResponse(boards=[board_to_proto(b) for b in self._farm.boards])

    async def ListTargets(  # noqa: N802
        self, request: evaluator_pb2.ListTargetsRequest, context: Context
    ) -> evaluator_pb2.ListTargetsResponse:
        """Return the chips that are known."""
        return evaluator_pb2.ListTargetsResponse(targets=[target_to_proto(t) for t in all_targets()])

    async def _complete(self, spec: evaluation_pb2.EvaluationSpec, project: str) -> None:
        """Give every artifact of the specification its name, hash and size, so that identical work looks identical."""
        subject = spec.WhichOneof("subject")
        if subject is None:
            raise InvalidArgumentError(
                "the specification names neither model nor library",
                reason="MISSING_FIELD",
                subject="spec.subject",
                allowed="a model or a library",
            )
        for field in (subject, "inputs", "data"):
            if spec.HasField(field):
                artifact = getattr(spec, field)
                name = artifact_name_from_proto(artifact, project, f"spec.{field}")
                artifact.CopyFrom(artifact_to_proto(await asyncio.to_thread(self._plumbing.artifacts.stat, name)))


def service_plan() -> ServicePlan:
    """Return how the evaluator's server is built."""

    def add(server: grpc.aio.Server, plumbing: Plumbing) -> None:
        farm = load_farm(plumbing.settings.boards)
        evaluator_pb2_grpc.add_EvaluatorServiceServicer_to_server(EvaluatorServicer(plumbing, farm), server)

    return ServicePlan("evaluator", "tinyfarm.v1.EvaluatorService", "127.0.0.1:50053", add)
