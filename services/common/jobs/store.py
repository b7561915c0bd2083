"""Job records in Redis: every change is one run of jobs.lua, fenced by the owner of the job."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files
from typing import Any, cast

import redis

from services.common.errors import DETERMINISTIC, AlreadyExistsError, CanceledError, FarmError, NotFoundError
from services.common.jobs.record import (
    SCHEMA_VERSION,
    JobKind,
    JobRecord,
    JobState,
    NewJob,
    job_name,
    record_from_fields,
)
from services.common.settings import Settings

KEY_PREFIX = "tinyfarm"


class Release(Enum):
    """Why a job goes back into its queue: handed back unhurt (free), or its process died (counts)."""

    HANDED_BACK = "1"
    CRASHED = "0"


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job, and the ids whose message must be sent now."""

    record: JobRecord
    to_send: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What a command answered, and the ids whose message must be sent now."""

    answer: str
    to_send: tuple[str, ...]

    @property
    def lost(self) -> bool:
        """Whether the job belongs to another owner, or has ended, by now."""
        return self.answer == "lost"


@dataclass(frozen=True, slots=True)
class CachedResult:
    """The result of identical work, and the names of the artifacts it refers to."""

    result: bytes
    artifacts: tuple[str, ...]


class JobStore:
    """Synchronous access to the records; servers call it in a thread.

    Safe to use from several threads. Raises redis errors only after the connection's own retries.
    """

    def __init__(self, client: redis.Redis, settings: Settings, prefix: str = KEY_PREFIX) -> None:
        self._redis = client
        self._settings = settings
        self._prefix = prefix
        self._script = client.register_script((files("services.common.jobs") / "jobs.lua").read_text())

    def submit(self, job: NewJob) -> Submitted:
        """Write a queued job, or find the one this request made before, or its result in the cache.

        Raises AlreadyExistsError where the request id was used for another request.
        """
        fields: dict[str, str | bytes | int] = {
            "kind": job.kind.value,
            "queue": job.queue,
            "spec": job.spec,
            "time_limit_ms": job.time_limit_ms,
            "traceparent": job.traceparent,
            "schema_version": SCHEMA_VERSION,
        }
        flat = [part for pair in fields.items() for part in pair]
        change, job_id = self._submit(job, flat)
        if change.answer == "conflict":
            raise AlreadyExistsError(
                f"request id {job.request_id!r} was used for another request",
                reason="REQUEST_ID_REUSED",
                subject="request_id",
                value=job.request_id,
                allowed="the same request, or another id",
            )
        send = (job_id, *change.to_send) if change.answer == "new" else change.to_send
        return Submitted(self.get(job.project, job_id), send)

    def _submit(self, job: NewJob, flat: list[str | bytes | int]) -> tuple[Change, str]:
        arguments = [job.id, job.project, job.request_id, job.payload_hash, job.cache_key]
        answer, to_send = self._run("submit", *arguments, int(job.ignore_cache), job.parent, *flat)
        kind, job_id = (part.decode() for part in answer)
        return Change(kind, to_send), job_id

    def sent(self, job_id: str, message_id: str) -> None:
        """Note which message carries the job, so that the reaper can tell whether it is still there."""
        self._run("sent", job_id, message_id)

    def claim(self, job_id: str, owner: str) -> bool:
        """Make the owner the one who runs the job; False where it is not (or no longer) to be run."""
        change = self._change("claim", job_id, owner, self._lease_ms, self._settings.max_attempts)
        return change.answer == "claimed"

    def heartbeat(self, job_id: str, owner: str) -> bool:
        """Renew the lease; False where the job was cancelled or given to another owner."""
        return not self._change("heartbeat", job_id, owner, self._lease_ms).lost

    def progress(self, job_id: str, owner: str, number: int, fraction: float, text: str) -> bool:
        """Report progress, 0 to 1; `number` grows with every report of this claim."""
        return not self._change("progress", job_id, owner, number, f"{fraction:.6g}", text).lost

    def log(self, job_id: str, owner: str, number: int, message: str) -> bool:
        """Add a line for people to the events."""
        return not self._change("log", job_id, owner, number, message).lost

    def publish(self, job_id: str, owner: str, result: bytes) -> bool:
        """Keep the result as far as it is known."""
        return not self._change("publish", job_id, owner, result).lost

    def checkpoint(self, job_id: str, owner: str) -> bool:
        """Note that work was saved: crashes are counted anew."""
        return not self._change("checkpoint", job_id, owner).lost

    def succeed(self, job_id: str, owner: str, result: bytes, artifacts: Sequence[str] = ()) -> Change:
        """End the job with its result; `artifacts` are the names the result refers to."""
        names = json.dumps(list(artifacts))
        return self._change("finish", job_id, owner, JobState.SUCCEEDED.value, result, "", names, 0)

    def fail(self, job_id: str, owner: str, error: FarmError) -> Change:
        """End the job with an error."""
        told = json.dumps(error.to_dict())
        repeats = int(error.code in DETERMINISTIC)
        return self._change("finish", job_id, owner, JobState.FAILED.value, "", told, "", repeats)

    def release(self, job_id: str, owner: str, why: Release, message: str) -> Change:
        """Put a claimed job back into its queue, or aside where it has crashed too often."""
        return self._change("release", job_id, owner, why.value, self._settings.max_attempts, message)

    def cancel(self, project: str, job_id: str) -> tuple[JobRecord, tuple[str, ...]]:
        """Cancel a job and those it asked for; a finished job stays as it is."""
        self.get(project, job_id)
        error = CanceledError("the job was cancelled on request", subject="job", value=job_name(project, job_id))
        change = self._change("cancel", job_id, json.dumps(error.to_dict()))
        return self.get(project, job_id), change.to_send

    def reap(self, message_keys: tuple[str, str], limit: int = 100) -> tuple[str, ...]:
        """Take back jobs whose lease is over; return the ids of all jobs that need a message.

        `message_keys` is what stands before and after a queue's name in the key of its messages.
        """
        return self._change("reap", self._settings.max_attempts, *message_keys, limit).to_send

    def cached(self, project: str, cache_key: str) -> CachedResult | None:
        """Return the known result of identical work."""
        fields = cast(dict[bytes, bytes], self._redis.hgetall(f"{self._prefix}:cache:{project}:{cache_key}"))
        if b"result" not in fields:
            return None
        return CachedResult(fields[b"result"], tuple(json.loads(fields.get(b"artifacts") or b"[]")))

    def forget(self, project: str, cache_key: str) -> None:
        """Drop a cached result."""
        self._run("forget", project, cache_key)

    def find(self, job_id: str) -> JobRecord | None:
        """Return a job by its id alone, or None."""
        fields = cast(dict[bytes, bytes], self._redis.hgetall(self.key(job_id)))
        return record_from_fields(job_id, fields) if b"state" in fields else None

    def get(self, project: str, job_id: str) -> JobRecord:
        """Return a job; NotFoundError where the project has none of this id."""
        record = self.find(job_id)
        if record is None or record.project != project:
            name = job_name(project, job_id)
            raise NotFoundError(f"there is no job {name!r}", reason="NO_SUCH_JOB", subject="job", value=name)
        return record

    def list(
        self,
        project: str,
        *,
        kind: JobKind | None = None,
        state: JobState | None = None,
        dead_only: bool = False,
        offset: int = 0,
        limit: int = 50,
    ) -> tuple[list[JobRecord], int | None]:
        """Return jobs, newest first, and the offset to go on from (None at the end)."""
        index = f"{self._prefix}:{'dead' if dead_only else 'jobs'}:{project}"
        found: list[JobRecord] = []
        while len(found) < limit:
            ids = cast(list[bytes], self._redis.zrevrange(index, offset, offset + limit - 1))
            if not ids:
                return found, None
            for raw in ids:
                offset += 1
                record = self.find(raw.decode())
                if record and kind in (None, record.kind) and state in (None, record.state):
                    found.append(record)
                if len(found) == limit:
                    break
        return found, offset

    def uptime_s(self) -> int:
        """Seconds since the Redis server started: leases that ran out while it was down say nothing."""
        return int(self._redis.info("server")["uptime_in_seconds"])

    def key(self, job_id: str) -> str:
        """The key of a job's record; its events are at this key + ":events"."""
        return f"{self._prefix}:job:{job_id}"

    @property
    def _lease_ms(self) -> int:
        return int(self._settings.lease_s * 1000)

    def _change(self, command: str, *arguments: str | bytes | int) -> Change:
        answer, to_send = self._run(command, *arguments)
        return Change(answer.decode(), to_send)

    def _run(self, command: str, *arguments: str | bytes | int) -> tuple[Any, tuple[str, ...]]:
        head = (command, self._settings.events_kept, int(self._settings.records_kept_s))
        answer, to_send = cast(tuple[Any, list[bytes]], self._script(keys=[self._prefix], args=[*head, *arguments]))
        return answer, tuple(job_id.decode() for job_id in to_send)
