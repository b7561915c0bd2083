"""SearchService: unpack, check what can be checked at once, queue, answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc.aio

from services.common.boards import find_board
from services.common.clients import CHANNEL_OPTIONS, error_from_call
from services.common.convert import artifact_name_from_proto, artifact_to_proto, check_enums, job_to_proto
from services.common.errors import FailedPreconditionError
from services.common.jobs.record import JobKind, JobState, parse_job_name, parse_project
from services.common.server.serve import Plumbing, ServicePlan
from services.common.server.submit import submission
from services.search.convert import require_dataset, settings_from_proto, targets_from_proto
from tinyfarm.v1 import evaluator_pb2, evaluator_pb2_grpc, exploration_pb2, search_pb2, search_pb2_grpc

QUEUE = "search"
_BOARDS_DEADLINE_S = 10.0
Context = grpc.aio.ServicerContext[Any, Any]


class SearchServicer(search_pb2_grpc.SearchServiceServicer):
    """Submits searches and shows how far their fronts are known."""

    def __init__(self, plumbing: Plumbing, evaluator: grpc.aio.Channel) -> None:
        self._plumbing = plumbing
        self._evaluator = evaluator

    async def SubmitSearch(  # noqa: N802
        self, request: search_pb2.SubmitSearchRequest, context: Context
    ) -> search_pb2.SubmitSearchResponse:
        """Queue a search."""
        check_enums(request)
        project, spec = parse_project(request.project), request.spec
        settings_from_proto(spec)
        require_dataset(spec.task.dataset)
        await require_board(self._evaluator, self._plumbing.settings.evaluator_address, spec.board)
        if spec.task.dataset.HasField("npz"):
            name = artifact_name_from_proto(spec.task.dataset.npz, project, "spec.task.dataset.npz")
            found = await asyncio.to_thread(self._plumbing.artifacts.stat, name)
            spec.task.dataset.npz.CopyFrom(artifact_to_proto(found))
        record = await self._plumbing.submitter.submit(
            submission(
                request,
                context,
                project=project,
                kind=JobKind.SEARCH,
                queue=QUEUE,
                spec=spec,
                default_limit_s=self._plumbing.settings.search_time_limit_s,
            )
        )
        return search_pb2.SubmitSearchResponse(job=job_to_proto(record))

    async def GetFront(  # noqa: N802
        self, request: search_pb2.GetFrontRequest, context: Context
    ) -> search_pb2.GetFrontResponse:
        """Return the points measured so far."""
        record = await asyncio.to_thread(self._plumbing.store.get, *parse_job_name(request.job))
        if record.kind is not JobKind.SEARCH:
            raise FailedPreconditionError(
                f"{request.job} is a job of kind {record.kind.value}: only searches have a front",
                reason="NOT_A_SEARCH",
                subject="job",
                value=record.kind.value,
                allowed="search",
            )
        known = exploration_pb2.SearchResult.FromString(record.result or record.partial or b"")
        return search_pb2.GetFrontResponse(
            points=known.points, baselines=known.baselines, complete=record.state is JobState.SUCCEEDED
        )


async def require_board(evaluator: grpc.aio.Channel, address: str, name: str) -> None:
    """Raise BoardUnknownError where the farm of the evaluator at an address has no board that the name means."""
    stub = evaluator_pb2_grpc.EvaluatorServiceStub(evaluator)
    try:
        farm = await stub.ListBoards(evaluator_pb2.ListBoardsRequest(), timeout=_BOARDS_DEADLINE_S)
    except grpc.aio.AioRpcError as error:
        raise error_from_call(error, address) from None
    find_board(name, targets_from_proto(farm))


def service_plan() -> ServicePlan:
    """Return how the search's server is built."""

    def add(server: grpc.aio.Server, plumbing: Plumbing) -> Callable[[], Awaitable[None]]:
        evaluator = grpc.aio.insecure_channel(plumbing.settings.evaluator_address, options=CHANNEL_OPTIONS)
        search_pb2_grpc.add_SearchServiceServicer_to_server(SearchServicer(plumbing, evaluator), server)
        return evaluator.close

    return ServicePlan("search", "tinyfarm.v1.SearchService", "127.0.0.1:50051", add)
