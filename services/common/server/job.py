"""JobService: one surface for the long work of all services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from services.common.convert import check_enums, event_to_proto, job_to_proto, kind_from_proto, state_from_proto
from services.common.errors import InvalidArgumentError
from services.common.jobs.dispatch import Dispatcher
from services.common.jobs.events import Event, Watcher
from services.common.jobs.record import JobRecord, parse_job_name, parse_project
from services.common.jobs.store import JobStore
from tinyfarm.v1 import job_pb2, job_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]
_DEFAULT_PAGE = 50
_LARGEST_PAGE = 500


class JobServicer(job_pb2_grpc.JobServiceServicer):
    """Serves job records and events."""

    def __init__(self, store: JobStore, dispatcher: Dispatcher, watcher: Watcher) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._watcher = watcher

    async def GetJob(  # noqa: N802
        self, request: job_pb2.GetJobRequest, context: Context
    ) -> job_pb2.GetJobResponse:
        """Return a job."""
        return job_pb2.GetJobResponse(job=job_to_proto(await self._get(request.name)))

    async def ListJobs(  # noqa: N802
        self, request: job_pb2.ListJobsRequest, context: Context
    ) -> job_pb2.ListJobsResponse:
        """Return a page of a project's jobs."""
        check_enums(request)
        records, following = await asyncio.to_thread(
            self._store.list,
            parse_project(request.project),
            kind=kind_from_proto(request.kind),
            state=state_from_proto(request.state),
            dead_only=request.dead_lettered_only,
            offset=_offset(request.page_token),
            limit=min(request.page_size or _DEFAULT_PAGE, _LARGEST_PAGE),
        )
        token = "" if following is None else str(following)
        return job_pb2.ListJobsResponse(jobs=[job_to_proto(r) for r in records], next_page_token=token)

    async def CancelJob(  # noqa: N802
        self, request: job_pb2.CancelJobRequest, context: Context
    ) -> job_pb2.CancelJobResponse:
        """Cancel a job and those it asked for; its worker kills the work at its next heartbeat."""
        record, to_send = await asyncio.to_thread(self._store.cancel, *parse_job_name(request.name))
        await asyncio.to_thread(self._dispatcher.send, to_send)
        return job_pb2.CancelJobResponse(job=job_to_proto(record))

    async def WatchJob(  # noqa: N802
        self, request: job_pb2.WatchJobRequest, context: Context
    ) -> AsyncIterator[job_pb2.WatchJobResponse]:
        """Stream a job's events; the last one carries the whole job."""
        record = await self._get(request.name)
        async for event in self._watcher.watch(record, request.resume_token):
            message = event_to_proto(event)
            if isinstance(event, Event) and event.is_last:
                message.job.CopyFrom(job_to_proto(await self._get(request.name)))
            yield job_pb2.WatchJobResponse(event=message)

    async def _get(self, name: str) -> JobRecord:
        return await asyncio.to_thread(self._store.get, *parse_job_name(name))


def _offset(page_token: str) -> int:
    if page_token and not page_token.isdecimal():
        raise InvalidArgumentError(
            f"page token {page_token!r} was not given by this service",
            reason="BAD_PAGE_TOKEN",
            subject="page_token",
            value=page_token,
            allowed="next_page_token of a response, or empty",
        )
    return int(page_token or 0)
