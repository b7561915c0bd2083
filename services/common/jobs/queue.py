"""Delivery of job ids to workers: the only module that knows dramatiq.

A message carries nothing but a job's id; the record says what to do and whether it is still to be done, so a
message that comes twice, or late, does no harm.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import cast

import dramatiq
import dramatiq.brokers.redis as dramatiq_redis
import redis
from dramatiq.broker import MessageProxy
from dramatiq.common import compute_backoff
from dramatiq.errors import ConnectionClosed
from dramatiq.worker import Worker

NAMESPACE = "tinyfarm-queue"
HIGH = ".high"
_ACTOR = "run_job"
# With dramatiq's defaults a killed worker's message did not come back within 150 s, as was measured.
_HEARTBEAT_TIMEOUT_MS = 10_000
_MAINTENANCE_CHANCE = 1_000_000
_WORKER_TIMEOUT_MS = 50
_HEARTBEAT_S = 1.0
_LOOK_S = 0.02


def with_twins(queues: Sequence[str]) -> tuple[str, ...]:
    """Return the queues with the twin of each that is served first: priorities do not reorder Redis lists."""
    return tuple(q for queue in queues for q in (queue + HIGH, queue))


def message_keys() -> tuple[str, str]:
    """Return what stands before and after a queue's name in the key of the hash of its messages."""
    return f"{NAMESPACE}:", ".msgs"


class JobQueue:
    """Sends job ids. `send` blocks on the network: call it in a thread."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._broker = _Broker(client, 0)

    def send(self, queue: str, job_id: str) -> str:
        """Put the job into the queue and return the message's id."""
        message: dramatiq.Message[None] = dramatiq.Message(
            queue_name=queue, actor_name=_ACTOR, args=(job_id,), kwargs={}, options={}
        )
        return str(self._broker.enqueue(message).options["redis_message_id"])

    def depth(self, queue: str) -> int:
        """Number of messages that no worker has fetched."""
        return self._redis.llen(f"{NAMESPACE}:{queue}")


class QueueConsumer:
    """Threads that take job ids off queues and call `run` with each, `slots` at a time."""

    def __init__(self, client: redis.Redis, queues: Sequence[str], slots: int, run: Callable[[str], None]) -> None:
        broker = _Broker(client, slots)
        for queue in queues:
            broker.declare_queue(queue)
        # The actor registers itself with the broker; its own queue is only a default that no message uses.
        dramatiq.Actor(run, broker=broker, actor_name=_ACTOR, queue_name=queues[0], priority=0, options={})
        self._worker = Worker(broker, worker_timeout=_WORKER_TIMEOUT_MS, worker_threads=slots)

    def start(self) -> None:
        """Start the threads and return."""
        self._worker.start()

    def stop(self, timeout_s: float) -> None:
        """Wait for calls of `run` to return, and give back what was fetched but not started."""
        self._worker.stop(timeout=int(timeout_s * 1000))


class _Broker(dramatiq_redis.RedisBroker):
    """A broker without delay queues (nothing is delayed) whose consumers fetch as much as there are free slots."""

    def __init__(self, client: redis.Redis, slots: int) -> None:
        # No middleware: attempts are counted in our records, and a time limit cannot stop native code.
        super().__init__(  # type: ignore[no-untyped-call]
            client=client,
            namespace=NAMESPACE,
            middleware=[],
            heartbeat_timeout=_HEARTBEAT_TIMEOUT_MS,
            maintenance_chance=_MAINTENANCE_CHANCE,
        )
        self.lock = threading.RLock()
        self._slots = slots
        self._consumers: dict[str, _Consumer] = {}
        self._waiting: dict[str, int] = {}
        self._looked_at = 0.0

    def get_declared_delay_queues(self) -> set[str]:
        return set()

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> _Consumer:
        consumer = self._consumers[queue_name] = _Consumer(self, queue_name, prefetch, timeout)  # type: ignore[no-untyped-call]
        return consumer

    def free_slots(self) -> int:
        """Slots without a message, over all queues of this process."""
        return self._slots - sum(int(c.outstanding_message_count) for c in self._consumers.values())

    def waiting(self, queue: str) -> int:
        """Messages in a queue: one look a moment for all queues, since a farm's worker serves dozens of them."""
        if time.monotonic() - self._looked_at > _LOOK_S:
            names = sorted(self.queues)
            pipeline = self.client.pipeline(transaction=False)
            for name in names:
                pipeline.llen(f"{NAMESPACE}:{name}")
            self._waiting = dict(zip(names, pipeline.execute(), strict=True))
            self._looked_at = time.monotonic()
        return self._waiting.get(queue, 0)


class _Consumer(dramatiq_redis._RedisConsumer):
    """Fetches no more than the free slots of its process, the `.high` twin first, and never stops its heartbeat.

    dramatiq's own consumer sends no heartbeat while it is full: a process whose slots all run long jobs would
    look dead after ten seconds.
    """

    broker: _Broker
    _fetched_at = 0.0

    def __next__(self) -> MessageProxy | None:
        if not self.message_cache:
            try:
                with self.broker.lock:
                    self._fetch()
            except redis.ConnectionError as error:
                raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]
        if self.message_cache:
            return cast(MessageProxy, super().__next__())  # type: ignore[no-untyped-call]
        self.misses, backoff_ms = compute_backoff(self.misses, max_backoff=self.timeout)
        time.sleep(backoff_ms / 1000)
        return None

    def _fetch(self) -> None:
        room = max(0, self.broker.free_slots())
        if room and self.broker.waiting(self.queue_name + HIGH):
            room = 0
        # A fetch is also the heartbeat, and takes back what dead workers held: due once a second in any case.
        due = time.monotonic() - self._fetched_at > _HEARTBEAT_S
        if due or (room and self.broker.waiting(self.queue_name)):
            self._fetched_at = time.monotonic()
            self.message_cache = self.broker.do_fetch(self.queue_name, room)
