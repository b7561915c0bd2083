"""Watching a job: its events in order, each once, from any point that is still kept."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast

import redis.asyncio

from services.common.errors import InvalidArgumentError, NotFoundError, OutOfRangeError
from services.common.jobs.record import JobRecord, JobState
from services.common.jobs.store import JobStore

_BLOCK_MS = 5000
_BATCH = 200
_TOKEN = re.compile(r"[0-9]{1,18}-0")


@dataclass(frozen=True, slots=True)
class Event:
    """One event; they are numbered 1, 2, 3, ... without gaps. `kind` is STATE, PROGRESS or LOG."""

    number: int
    kind: str
    ms: int
    state: JobState
    fraction: float
    text: str
    message: str

    @property
    def token(self) -> str:
        """The id in the Redis stream: a watch resumes after it."""
        return f"{self.number}-0"

    @property
    def is_last(self) -> bool:
        """Whether nothing follows."""
        return self.kind == "STATE" and self.state.is_final


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The job as it is now, in place of events that are no longer kept; go on after its token."""

    record: JobRecord

    @property
    def token(self) -> str:
        """The id of the last event the snapshot includes."""
        return f"{self.record.events}-0"


class Watcher:
    """Reads the event streams of jobs."""

    def __init__(self, client: redis.asyncio.Redis, store: JobStore) -> None:
        self._redis = client
        self._store = store

    async def watch(self, record: JobRecord, resume_token: str) -> AsyncIterator[Event | Snapshot]:
        """Yield the events after the token (all, where it is empty) until the last.

        Where events after the token are no longer kept: a snapshot, then OutOfRangeError; with an empty token a
        snapshot, then what follows it.
        """
        after = _number(resume_token)
        if after > record.events:
            yield Snapshot(record)
            raise _out_of_range(resume_token, record)
        if record.state.is_final and after == record.events:
            return
        while True:
            events = await self._read(record.id, after)
            if events and events[0].number != after + 1:
                snapshot = Snapshot(await self._now(record))
                yield snapshot
                if resume_token or after:
                    raise _out_of_range(resume_token or f"{after}-0", record)
                if snapshot.record.state.is_final:
                    return
                after = snapshot.record.events
                continue
            for event in events:
                yield event
                after = event.number
                if event.is_last:
                    return
            if not events and (now := await self._now(record)).state.is_final and after >= now.events:
                return

    async def _read(self, job_id: str, after: int) -> list[Event]:
        key = self._store.key(job_id) + ":events"
        answer = await self._redis.xread({key: f"{after}-0"}, count=_BATCH, block=_BLOCK_MS)
        if not answer:
            return []
        entries = cast(list[tuple[bytes, dict[bytes, bytes]]], cast(Any, answer)[0][1])
        return [_event(entry_id, fields) for entry_id, fields in entries]

    async def _now(self, record: JobRecord) -> JobRecord:
        now = await asyncio.to_thread(self._store.find, record.id)
        if now is None:
            raise NotFoundError(
                f"the record of job {record.name!r} is no longer kept",
                reason="NO_SUCH_JOB",
                subject="job",
                value=record.name,
            )
        return now


def _number(token: str) -> int:
    if not token:
        return 0
    if not _TOKEN.fullmatch(token):
        raise InvalidArgumentError(
            f"{token!r} is not a resume token: use one that an event carried",
            reason="BAD_RESUME_TOKEN",
            subject="resume_token",
            value=token,
            allowed="a token of an event of this job, or empty",
        )
    return int(token.split("-", maxsplit=1)[0])


def _event(entry_id: bytes, fields: dict[bytes, bytes]) -> Event:
    def text(field: str) -> str:
        return fields.get(field.encode(), b"").decode()

    return Event(
        number=int(entry_id.split(b"-")[0]),
        kind=text("kind"),
        ms=int(text("ms")),
        state=JobState(text("state")),
        fraction=float(text("fraction") or 0),
        text=text("text"),
        message=text("message"),
    )


def _out_of_range(token: str, record: JobRecord) -> OutOfRangeError:
    return OutOfRangeError(
        f"events after {token!r} of job {record.name} are no longer kept: go on after the snapshot's token",
        reason="RESUME_TOKEN_TOO_OLD",
        subject="resume_token",
        value=token,
        allowed="the snapshot's token",
    )
