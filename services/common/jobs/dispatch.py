"""From record to message, and the reaper that repairs what fell between the two writes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from uuid import uuid4

import redis

from services.common.jobs.queue import JobQueue, message_keys
from services.common.jobs.store import KEY_PREFIX, JobStore
from services.common.metrics import ProcessMetrics
from services.common.settings import Settings

log = logging.getLogger(__name__)
# A server that was down lets leases run out that nobody gave up: owners get this much longer to renew them.
_SETTLE_S = 3.0


class Dispatcher:
    """Sends the messages of queued jobs."""

    def __init__(self, store: JobStore, queue: JobQueue) -> None:
        self._store = store
        self._queue = queue

    def send(self, job_ids: Iterable[str]) -> None:
        """Send a message for each job and note it in the record; what fails here, the reaper does."""
        for job_id in job_ids:
            record = self._store.find(job_id)
            if record is None or record.state.is_final:
                continue
            try:
                self._store.sent(job_id, self._queue.send(record.queue, job_id))
            except redis.ConnectionError:
                log.warning("%s: its message is left to the reaper, Redis does not answer", record.name)


class Reaper:
    """A thread that takes back jobs of dead workers and sends lost messages again.

    Every process runs one; a lock in Redis lets one of them work at a time.
    """

    def __init__(
        self, client: redis.Redis, store: JobStore, dispatcher: Dispatcher, metrics: ProcessMetrics, settings: Settings
    ) -> None:
        self._redis = client
        self._store = store
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._settings = settings
        self._id = uuid4().hex
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="reaper", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end after its current round."""
        self._stop.set()

    def _loop(self) -> None:
        while not self._stop.wait(self._settings.reap_interval_s):
            try:
                self.round()
            except redis.RedisError:
                log.warning("the reaper skips a round: Redis does not answer", exc_info=True)

    def round(self) -> tuple[str, ...]:
        """Look once; return the ids of the jobs that were sent again."""
        interval_ms = int(self._settings.reap_interval_s * 1000)
        if not self._redis.set(f"{KEY_PREFIX}:reaper", self._id, nx=True, px=max(1, interval_ms - 50)):
            return ()
        if self._store.uptime_s() < self._settings.heartbeat_s + _SETTLE_S:
            return ()
        again = self._store.reap(message_keys())
        if again:
            log.info("sending %d jobs again: %s", len(again), ", ".join(again))
            self._metrics.resent.inc(len(again))
            self._dispatcher.send(again)
        return again
