"""Runs one job: claims it, gives it to a child, passes on what the child tells, and kills the child where it must."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never
from uuid import uuid4

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from services.common.artifacts import ArtifactStore
from services.common.errors import DeadlineError, FarmError, error_from_dict
from services.common.jobs.dispatch import Dispatcher
from services.common.jobs.record import JobKind, JobRecord
from services.common.jobs.slots import ChildDiedError, Slot, SlotPool
from services.common.jobs.store import Change, JobStore, Release
from services.common.jobs.task import (
    Checkpointed,
    Counted,
    Failed,
    Logged,
    Progressed,
    Published,
    TaskOrder,
    TaskResult,
)
from services.common.metrics import ProcessMetrics
from services.common.settings import Settings

log = logging.getLogger(__name__)
_POLL_S = 0.1
_PROGRESS_INTERVAL_S = 0.2
_REDIS_DOWN = (RedisConnectionError, RedisTimeoutError)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRunner:
    """Runs jobs in the slots of this process until `stop` is set; then hands them back unhurt."""

    store: JobStore
    dispatcher: Dispatcher
    artifacts: ArtifactStore
    slots: SlotPool
    handlers: Mapping[JobKind, str]
    metrics: ProcessMetrics
    settings: Settings
    stop: threading.Event

    def run(self, job_id: str) -> None:
        """Run the job if it is still to be run; never raises, so that the queue goes on."""
        try:
            self._run(job_id)
        except Exception:
            # The lease runs out and the reaper gives the job to somebody else.
            log.exception("job %s was left to the reaper", job_id)

    def _run(self, job_id: str) -> None:
        record = self.store.find(job_id)
        if record is None or record.state.is_final:
            return
        owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        if not self.store.claim(job_id, owner):
            return
        if record.start_ms is None:
            self.metrics.wait_seconds.labels(record.kind.value).observe(max(0.0, time.time() - record.create_ms / 1e3))
        running = self.metrics.running.labels(record.kind.value)
        timer = self.metrics.run_seconds.labels(record.kind.value).time()
        with running.track_inprogress(), timer, self.slots.take() as slot:
            how = _Supervision(self, record, owner, slot).run()
        self.metrics.ended.labels(record.kind.value, how).inc()
        log.info("%s: %s", record.name, how)


class _Supervision:
    """One claim of one job."""

    def __init__(self, runner: JobRunner, record: JobRecord, owner: str, slot: Slot) -> None:
        self._runner = runner
        self._store = runner.store
        self._record = record
        self._owner = owner
        self._slot = slot
        self._number = 0
        self._pending: Progressed | None = None
        self._told_progress_at = 0.0

    def run(self) -> str:
        """Return how it ended, in a word."""
        limit_s = self._record.time_limit_ms / 1000
        ends_at = time.monotonic() + limit_s
        try:
            self._slot.give(self._order(limit_s))
            return self._watch(ends_at, limit_s)
        except ChildDiedError as died:
            return self._crashed(died)

    def _order(self, limit_s: float) -> TaskOrder:
        record = self._record
        handler = self._runner.handlers[record.kind]
        return TaskOrder(handler, record.project, record.id, record.spec, time.time() + limit_s, record.traceparent)

    def _watch(self, ends_at: float, limit_s: float) -> str:
        next_beat = time.monotonic()
        while True:
            report = self._slot.next_report(_POLL_S)
            if isinstance(report, TaskResult | Failed):
                return self._end(report)
            if self._runner.stop.is_set():
                return self._hand_back()
            now = time.monotonic()
            if now >= ends_at:
                return self._over_time(limit_s)
            owned = self._pass_on(report)
            if now >= next_beat:
                next_beat = now + self._runner.settings.heartbeat_s
                owned = owned and self._beat()
            if not owned:
                self._kill("cancelled")
                return "lost"

    def _beat(self) -> bool:
        try:
            return self._store.heartbeat(self._record.id, self._owner)
        except _REDIS_DOWN:
            log.warning("%s: no heartbeat, Redis does not answer", self._record.name)
            return True

    def _pass_on(self, report: Progressed | Logged | Counted | Checkpointed | Published | None) -> bool:
        """Return whether the job is still ours."""
        match report:
            case Progressed():
                self._pending = report
            case Logged():
                return self._told(lambda n: self._store.log(self._record.id, self._owner, n, report.message))
            case Counted():
                self._runner.metrics.count(report.name, report.amount)
            case Checkpointed():
                return self._told(lambda _: self._store.checkpoint(self._record.id, self._owner))
            case Published():
                return self._told(lambda _: self._store.publish(self._record.id, self._owner, report.result))
            case None:
                pass
            case _:
                assert_never(report)
        if self._pending and time.monotonic() - self._told_progress_at >= _PROGRESS_INTERVAL_S:
            return self._tell_progress()
        return True

    def _tell_progress(self) -> bool:
        """Tell the latest progress only: a child may report far more often than anybody reads."""
        pending, self._pending = self._pending, None
        if pending is None:
            return True
        self._told_progress_at = time.monotonic()
        return self._told(
            lambda n: self._store.progress(self._record.id, self._owner, n, pending.fraction, pending.text)
        )

    def _told(self, tell: Callable[[int], bool]) -> bool:
        self._number += 1
        try:
            return tell(self._number)
        except _REDIS_DOWN:
            log.warning("%s: a report was lost, Redis does not answer", self._record.name)
            return True

    def _end(self, report: TaskResult | Failed) -> str:
        self._tell_progress()
        if isinstance(report, TaskResult):
            change = self._insist(
                lambda: self._store.succeed(self._record.id, self._owner, report.result, report.artifacts)
            )
            how = "succeeded"
        else:
            change = self._insist(lambda: self._store.fail(self._record.id, self._owner, error_from_dict(report.error)))
            how = "failed"
        self._runner.artifacts.drop_checkpoints(self._record.project, self._record.id)
        return "lost" if change.lost else how

    def _hand_back(self) -> str:
        self._kill("shutdown")
        self._release(Release.HANDED_BACK, "the worker is shutting down")
        return "handed back"

    def _over_time(self, limit_s: float) -> str:
        self._kill("time limit")
        error = DeadlineError(
            f"the job ran longer than its time limit of {limit_s:g} s",
            subject="time_limit",
            value=f"{limit_s:g} s",
            allowed="a longer limit",
        )
        return self._fail(error)

    def _crashed(self, died: ChildDiedError) -> str:
        self._kill("crash")
        log.error("%s: its child process died with exit code %s", self._record.name, died)
        self._release(Release.CRASHED, f"the process that ran the job died with exit code {died}")
        return "crashed"

    def _fail(self, error: FarmError) -> str:
        self._insist(lambda: self._store.fail(self._record.id, self._owner, error))
        return "failed"

    def _release(self, why: Release, message: str) -> None:
        self._insist(lambda: self._store.release(self._record.id, self._owner, why, message))

    def _kill(self, why: str) -> None:
        self._slot.kill()
        self._runner.metrics.children_killed.labels(why).inc()
        if why != "shutdown":
            self._slot.start()

    def _insist(self, change: Callable[[], Change]) -> Change:
        """Repeat a change until Redis answers: a result must not be lost to a restart of the server."""
        while True:
            try:
                done = change()
            except _REDIS_DOWN:
                if self._runner.stop.is_set():
                    raise
                log.warning("%s: waiting for Redis", self._record.name)
                continue
            self._runner.dispatcher.send(done.to_send)
            return done
