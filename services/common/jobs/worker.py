"""A worker process: takes jobs off queues and runs them in its slots until it is told to stop."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import redis

from services.common.artifacts import ArtifactStore
from services.common.errors import InvalidArgumentError
from services.common.jobs.dispatch import Dispatcher, Reaper
from services.common.jobs.queue import JobQueue, QueueConsumer, with_twins
from services.common.jobs.record import JobKind
from services.common.jobs.runner import JobRunner
from services.common.jobs.slots import SlotPool
from services.common.jobs.store import JobStore
from services.common.metrics import ProcessMetrics
from services.common.redis_connection import connect
from services.common.settings import Settings

log = logging.getLogger(__name__)
_STOP_MARGIN_S = 30.0
_DEPTH_INTERVAL_S = 5.0


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What a service's workers do: the handler (MODULE:FUNCTION) of each kind of job, and their queues."""

    name: str
    handlers: Mapping[JobKind, str]
    queues: tuple[str, ...]


def run_worker(settings: Settings, plan: WorkerPlan, on_ready: Callable[[str, str], None]) -> None:
    """Run until SIGTERM or SIGINT, then hand work back; `on_ready` is told the address of the metrics."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    queues = with_twins(_chosen(settings.queues, plan.queues))
    client = connect(settings.redis_url)
    metrics = ProcessMetrics()
    metrics.slots.set(settings.slots)
    store = JobStore(client, settings)
    queue = JobQueue(client)
    dispatcher = Dispatcher(store, queue)
    artifacts = ArtifactStore.open(settings.artifacts_url, settings.max_artifact_bytes)
    slots = SlotPool(settings, tuple(plan.handlers.values()))
    slots.start()
    runner = JobRunner(
        store=store,
        dispatcher=dispatcher,
        artifacts=artifacts,
        slots=slots,
        handlers=plan.handlers,
        metrics=metrics,
        settings=settings,
        stop=stop,
    )
    reaper = Reaper(client, store, dispatcher, metrics, settings)
    consumer = QueueConsumer(client, queues, settings.slots, runner.run)
    consumer.start()
    reaper.start()
    on_ready("", metrics.serve(settings.metrics) if settings.metrics else "")

    while not stop.wait(_DEPTH_INTERVAL_S):
        _measure_queues(queue, queues, metrics)
    log.info("handing work back")
    reaper.stop()
    consumer.stop(settings.drain_s + _STOP_MARGIN_S)
    slots.close()


def _chosen(wanted: Sequence[str], served: Sequence[str]) -> tuple[str, ...]:
    if unknown := [name for name in wanted if name not in served]:
        raise InvalidArgumentError(
            f"queue {unknown[0]!r} is not served here: must be of {', '.join(served)}",
            reason="UNKNOWN_QUEUE",
            subject="TINYFARM_QUEUES",
            value=unknown[0],
            allowed=", ".join(served),
        )
    return tuple(wanted) or tuple(served)


def _measure_queues(queue: JobQueue, queues: Sequence[str], metrics: ProcessMetrics) -> None:
    try:
        for name in queues:
            metrics.queue_depth.labels(name).set(queue.depth(name))
    except redis.RedisError:
        log.warning("queue depths are unknown: Redis does not answer")
