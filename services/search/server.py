"""SearchService: unpack, check what can be checked at once, queue, answer."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio

from services.common.convert import artifact_name_from_proto, artifact_to_proto, check_enums, job_to_proto
from services.common.errors import FailedPreconditionError
from services.common.jobs.record import JobKind, JobState, parse_job_name, parse_project
from services.common.server.serve import Plumbing, ServicePlan
from services.common.server.submit import submission
from services.search.convert import require_dataset, settings_from_proto
from tinyfarm.v1 import exploration_pb2, search_pb2, search_pb2_grpc

QUEUE = "search"
Context = grpc.aio.ServicerContext[Any, Any]


class SearchServicer(search_pb2_grpc.SearchServiceServicer):
    """Submits searches and shows how far their fronts are known."""

    def __init__(self, plumbing: Plumbing) -> None:
        self._plumbing = plumbing

    async def SubmitSearch(  # noqa: N802
        self, request: search_pb2.SubmitSearchRequest, context: Context
    ) -> search_pb2.SubmitSearchResponse:
        """Queue a search."""
        check_enums(request)
        project, spec = parse_project(request.project), request.spec
        settings_from_proto(spec)
        require_dataset(spec.task.dataset)
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


def service_plan() -> ServicePlan:
    """Return how the search's server is built."""

    def add(server: grpc.aio.Server, plumbing: Plumbing) -> None:
        search_pb2_grpc.add_SearchServiceServicer_to_server(SearchServicer(plumbing), server)

    return ServicePlan("search", "tinyfarm.v1.SearchService", "127.0.0.1:50051", add)
