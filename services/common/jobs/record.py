"""A job as it is kept: plain fields, with the specification and the result as bytes nobody here opens."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from services.common.errors import FarmError, InvalidArgumentError, error_from_dict

SCHEMA_VERSION = 1
DEFAULT_PROJECT = "default"
_PROJECT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_JOB_NAME = re.compile(r"projects/(?P<project>[a-z0-9-]{1,63})/jobs/(?P<id>[0-9a-f]{32})")
_ALLOWED_NAME = "projects/PROJECT/jobs/ID, the ID 32 hexadecimal digits as `tinyfarm jobs` shows them"


class JobKind(Enum):
    """What a job does."""

    SEARCH = "search"
    COMPILE = "compile"
    QUANTIZE = "quantize"
    EVALUATE = "evaluate"


class JobState(Enum):
    """Where a job is; the last three are final."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        """Whether nothing can change any more."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """What a submit call asks for.

    `payload_hash` tells whether a repeated `request_id` is the same request; `cache_key` is the hash of
    everything the result depends on, empty where results are not shared.
    """

    id: str
    project: str
    kind: JobKind
    queue: str
    spec: bytes
    time_limit_ms: int
    request_id: str = ""
    payload_hash: str = ""
    cache_key: str = ""
    ignore_cache: bool = False
    traceparent: str = ""
    parent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """One job at one moment. `attempts` counts claims; its beginnings and its end are in milliseconds since 1970."""

    id: str
    project: str
    kind: JobKind
    state: JobState
    queue: str
    spec: bytes
    fraction: float
    text: str
    error: FarmError | None
    result: bytes | None
    partial: bytes | None
    cached: bool
    attempts: int
    dead_lettered: bool
    owner: str
    request_id: str
    parent: str
    create_ms: int
    start_ms: int | None
    end_ms: int | None
    time_limit_ms: int
    events: int
    schema_version: int
    traceparent: str

    @property
    def name(self) -> str:
        """The name clients use: projects/{project}/jobs/{id}."""
        return job_name(self.project, self.id)


def job_name(project: str, job_id: str) -> str:
    """Return the name clients use."""
    return f"projects/{project}/jobs/{job_id}"


def parse_project(project: str) -> str:
    """Return the project, "default" where empty; InvalidArgumentError where it is no valid name."""
    if not project:
        return DEFAULT_PROJECT
    if not _PROJECT.fullmatch(project):
        raise InvalidArgumentError(
            f"project {project!r} is not a valid name: 1 to 63 of a-z, 0-9 and -, no - at the ends",
            reason="BAD_PROJECT",
            subject="project",
            value=project,
            allowed="1 to 63 of a-z, 0-9 and -",
        )
    return project


def parse_job_name(name: str) -> tuple[str, str]:
    """Return (project, id) of a job's name; InvalidArgumentError where it is none."""
    if (match := _JOB_NAME.fullmatch(name)) is None:
        raise InvalidArgumentError(
            f"{name!r} is not the name of a job: must be {_ALLOWED_NAME}",
            reason="BAD_JOB_NAME",
            subject="name",
            value=name,
            allowed=_ALLOWED_NAME,
        )
    return match["project"], match["id"]


def record_from_fields(job_id: str, fields: Mapping[bytes, bytes]) -> JobRecord:
    """Return the record of a Redis hash."""

    def text(field: str) -> str:
        return fields.get(field.encode(), b"").decode()

    def number(field: str) -> int:
        return int(text(field) or 0)

    error = text("error")
    return JobRecord(
        id=job_id,
        project=text("project"),
        kind=JobKind(text("kind")),
        state=JobState(text("state")),
        queue=text("queue"),
        spec=fields.get(b"spec", b""),
        fraction=float(text("fraction") or 0),
        text=text("text"),
        error=error_from_dict(json.loads(error)) if error else None,
        result=fields.get(b"result"),
        partial=fields.get(b"partial"),
        cached=number("cached") == 1,
        attempts=number("attempts"),
        dead_lettered=number("dead") == 1,
        owner=text("owner"),
        request_id=text("request_id"),
        parent=text("parent"),
        create_ms=number("create_ms"),
        start_ms=number("start_ms") or None,
        end_ms=number("end_ms") or None,
        time_limit_ms=number("time_limit_ms"),
        events=number("events"),
        schema_version=number("schema_version"),
        traceparent=text("traceparent"),
    )
