"""Between what services/common keeps and the messages clients see."""

from __future__ import annotations

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.common.artifacts import ArtifactRef, artifact_name, parse_artifact_name
from services.common.errors import FarmError, InvalidArgumentError
from services.common.jobs.events import Event, Snapshot
from services.common.jobs.queue import HIGH
from services.common.jobs.record import JobKind, JobRecord, JobState
from tinyfarm.v1 import (
    artifact_pb2,
    compile_pb2,
    error_pb2,
    evaluation_pb2,
    exploration_pb2,
    job_options_pb2,
    job_pb2,
)

_KINDS = {
    JobKind.SEARCH: job_pb2.JOB_KIND_SEARCH,
    JobKind.COMPILE: job_pb2.JOB_KIND_COMPILE,
    JobKind.QUANTIZE: job_pb2.JOB_KIND_QUANTIZE,
    JobKind.EVALUATE: job_pb2.JOB_KIND_EVALUATE,
}
_EVENT_KINDS = {
    "STATE": job_pb2.JOB_EVENT_KIND_STATE,
    "PROGRESS": job_pb2.JOB_EVENT_KIND_PROGRESS,
    "LOG": job_pb2.JOB_EVENT_KIND_LOG,
}


def check_enums(message: Message, path: str = "") -> None:
    """Raise InvalidArgumentError where an enum of a request, at any depth, has a number without a name.

    proto3 lets any number through; taken for the default, a newer client's wish would be dropped without a word.
    """
    for field, content in message.ListFields():
        name = f"{path}{field.name}"
        parts = content if field.is_repeated else (content,)
        if field.enum_type is not None:
            known = field.enum_type.values_by_number
            for number in parts:
                if number not in known:
                    raise _unknown_number(name, number, [value.name for value in known.values()])
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for part in parts:
                check_enums(part, f"{name}.")


def _unknown_number(field: str, number: int, names: list[str]) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{field} is {number}, which this version does not know: must be one of {', '.join(names)}",
        reason="UNKNOWN_ENUM_VALUE",
        subject=field,
        value=number,
        allowed=", ".join(names),
    )


def error_to_proto(error: FarmError) -> error_pb2.Error:
    """Return the message of an error."""
    return error_pb2.Error(
        code=error_pb2.ErrorCode.ValueType(error.code.value),
        reason=error.reason,
        message=error.message,
        subject=error.subject,
        value=error.value,
        allowed=error.allowed,
    )


def artifact_to_proto(ref: ArtifactRef) -> artifact_pb2.Artifact:
    """Return the message of an artifact."""
    return artifact_pb2.Artifact(name=ref.name, sha256=ref.sha256, size_bytes=ref.size_bytes)


def artifact_name_from_proto(artifact: artifact_pb2.Artifact, project: str, field: str) -> str:
    """Return the artifact's name within the project; it may be given by name or by sha256 alone.

    Raises InvalidArgumentError naming the field where it is missing or of another project.
    """
    name = artifact.name or (artifact_name(project, artifact.sha256) if artifact.sha256 else "")
    if not name:
        raise InvalidArgumentError(
            f"{field} is missing", reason="MISSING_FIELD", subject=field, allowed="an artifact of the project"
        )
    if parse_artifact_name(name)[0] != project:
        raise InvalidArgumentError(
            f"{field} is {name!r}, of another project than {project!r}",
            reason="WRONG_PROJECT",
            subject=field,
            value=name,
            allowed=f"projects/{project}/artifacts/SHA256",
        )
    return name


def state_to_proto(state: JobState) -> job_pb2.JobState.ValueType:
    """Return the state's enum value."""
    return job_pb2.JobState.Value(f"JOB_STATE_{state.value}")


def state_from_proto(state: job_pb2.JobState.ValueType) -> JobState | None:
    """Return the state; None for unspecified (any)."""
    if state == job_pb2.JOB_STATE_UNSPECIFIED:
        return None
    return JobState(job_pb2.JobState.Name(state).removeprefix("JOB_STATE_"))


def kind_from_proto(kind: job_pb2.JobKind.ValueType) -> JobKind | None:
    """Return the kind; None for unspecified (any)."""
    return next((ours for ours, theirs in _KINDS.items() if theirs == kind), None)


def job_to_proto(record: JobRecord) -> job_pb2.Job:
    """Return the message of a job, its result parsed by its kind."""
    is_high = record.queue.endswith(HIGH)
    job = job_pb2.Job(
        name=record.name,
        kind=_KINDS[record.kind],
        state=state_to_proto(record.state),
        progress=job_pb2.Progress(fraction=record.fraction, text=record.text),
        error=error_to_proto(record.error) if record.error else None,
        cached=record.cached,
        attempts=record.attempts,
        dead_lettered=record.dead_lettered,
        queue=record.queue,
        priority=job_options_pb2.JOB_PRIORITY_HIGH if is_high else job_options_pb2.JOB_PRIORITY_NORMAL,
        request_id=record.request_id,
        create_time=timestamp(record.create_ms),
        start_time=timestamp(record.start_ms),
        end_time=timestamp(record.end_ms),
        schema_version=record.schema_version,
        traceparent=record.traceparent,
    )
    if record.result is not None:
        _set_result(job, record.kind, record.result)
    return job


def _set_result(job: job_pb2.Job, kind: JobKind, result: bytes) -> None:
    match kind:
        case JobKind.COMPILE:
            job.compile_result.CopyFrom(compile_pb2.CompileResult.FromString(result))
        case JobKind.QUANTIZE:
            job.quantize_result.CopyFrom(compile_pb2.QuantizeResult.FromString(result))
        case JobKind.EVALUATE:
            job.evaluation_result.CopyFrom(evaluation_pb2.EvaluationResult.FromString(result))
        case JobKind.SEARCH:
            job.search_result.CopyFrom(exploration_pb2.SearchResult.FromString(result))


def event_to_proto(event: Event | Snapshot) -> job_pb2.JobEvent:
    """Return the message of an event; the job itself is there in snapshots only."""
    if isinstance(event, Snapshot):
        return job_pb2.JobEvent(
            resume_token=event.token,
            kind=job_pb2.JOB_EVENT_KIND_SNAPSHOT,
            state=state_to_proto(event.record.state),
            progress=job_pb2.Progress(fraction=event.record.fraction, text=event.record.text),
            job=job_to_proto(event.record),
        )
    return job_pb2.JobEvent(
        resume_token=event.token,
        kind=_EVENT_KINDS[event.kind],
        create_time=timestamp(event.ms),
        state=state_to_proto(event.state),
        progress=job_pb2.Progress(fraction=event.fraction, text=event.text),
        message=event.message,
    )


def timestamp(ms: int | None) -> Timestamp | None:
    """Return milliseconds since the epoch as a message."""
    return None if ms is None else Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)
