"""Submitting: from a request to a queued job, or to a result that is already known."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

import grpc.aio
from google.protobuf.message import Message

from services.common.artifacts import ArtifactStore
from services.common.clients import PARENT_KEY, TRACE_KEY
from services.common.errors import InvalidArgumentError
from services.common.jobs.dispatch import Dispatcher
from services.common.jobs.queue import HIGH
from services.common.jobs.record import JobKind, JobRecord, NewJob, parse_job_name
from services.common.jobs.store import JobStore
from services.common.metrics import ProcessMetrics
from tinyfarm.v1 import job_options_pb2

Context = grpc.aio.ServicerContext[Any, Any]
_LONGEST_REQUEST_ID = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A request for a job. `spec` is what the worker gets; `identity` is what the result depends on besides.

    `identity` None means that results are never shared.
    """

    project: str
    kind: JobKind
    queue: str
    spec: bytes
    time_limit_ms: int
    request_id: str = ""
    is_high: bool = False
    ignore_cache: bool = False
    identity: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


class SubmitRequest(Protocol):
    """What the submit requests of all services have in common."""

    @property
    def request_id(self) -> str:
        """The client's name for the request; may be empty."""

    @property
    def options(self) -> job_options_pb2.JobOptions:
        """How to run the job."""


def submission(
    request: SubmitRequest,
    context: Context,
    *,
    project: str,
    kind: JobKind,
    queue: str,
    spec: Message,
    default_limit_s: float,
    identity: str | None = None,
) -> Submission:
    """Return what a request asks for; `default_limit_s` holds where it names no time limit."""
    return Submission(
        project=project,
        kind=kind,
        queue=queue,
        spec=spec.SerializeToString(deterministic=True),
        time_limit_ms=request.options.time_limit_ms or int(default_limit_s * 1000),
        request_id=request.request_id,
        is_high=request.options.priority == job_options_pb2.JOB_PRIORITY_HIGH,
        ignore_cache=request.options.ignore_cache,
        identity=identity,
        metadata=_call_metadata(context),
    )


class Submitter:
    """Writes job records and sends their messages, in threads."""

    def __init__(
        self, store: JobStore, dispatcher: Dispatcher, artifacts: ArtifactStore, metrics: ProcessMetrics
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._artifacts = artifacts
        self._metrics = metrics

    async def submit(self, submission: Submission) -> JobRecord:
        """Return the new job, or the one this request made before."""
        record = await asyncio.to_thread(self._submit, submission)
        self._metrics.submitted.labels(record.kind.value, str(record.cached).lower()).inc()
        return record

    def _submit(self, submission: Submission) -> JobRecord:
        if len(submission.request_id) > _LONGEST_REQUEST_ID:
            raise InvalidArgumentError(
                f"request id has {len(submission.request_id)} characters: at most {_LONGEST_REQUEST_ID} are allowed",
                subject="request_id",
                value=len(submission.request_id),
                allowed=f"at most {_LONGEST_REQUEST_ID} characters",
            )
        job = _new_job(submission)
        if job.cache_key and not job.ignore_cache:
            self._drop_stale(job)
        submitted = self._store.submit(job)
        self._dispatcher.send(submitted.to_send)
        return submitted.record

    def _drop_stale(self, job: NewJob) -> None:
        """Forget a known result whose artifacts have been removed."""
        known = self._store.cached(job.project, job.cache_key)
        if known and not all(self._artifacts.exists(name) for name in known.artifacts):
            self._store.forget(job.project, job.cache_key)


def _new_job(submission: Submission) -> NewJob:
    parts = (submission.kind.value, submission.queue, submission.identity or "")
    return NewJob(
        id=uuid4().hex,
        project=submission.project,
        kind=submission.kind,
        queue=submission.queue + (HIGH if submission.is_high else ""),
        spec=submission.spec,
        time_limit_ms=submission.time_limit_ms,
        request_id=submission.request_id,
        payload_hash=_hash(*parts, submission.spec, submission.time_limit_ms, submission.is_high),
        cache_key="" if submission.identity is None else _hash(*parts, submission.spec),
        ignore_cache=submission.ignore_cache,
        traceparent=submission.metadata.get(TRACE_KEY) or _new_trace(),
        parent=_parent_id(submission),
    )


def _parent_id(submission: Submission) -> str:
    """Return the id of the job that asks for this one; only a job of the same project can."""
    name = submission.metadata.get(PARENT_KEY, "")
    if not name:
        return ""
    project, job_id = parse_job_name(name)
    if project != submission.project:
        raise InvalidArgumentError(
            f"parent job {name!r} is of another project than {submission.project!r}",
            reason="WRONG_PROJECT",
            subject=PARENT_KEY,
            value=name,
            allowed=f"a job of project {submission.project}",
        )
    return job_id


def _call_metadata(context: Context) -> dict[str, str]:
    """Return the text metadata of a call."""
    return {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}


def _hash(*parts: str | bytes | int) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def _new_trace() -> str:
    """Return a W3C traceparent with fresh ids."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
