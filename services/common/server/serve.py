"""A service's gRPC server process: build, say that it is ready, wait for a signal, drain."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc.aio
import redis
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.common.artifacts import ArtifactStore
from services.common.clients import MAX_MESSAGE_BYTES
from services.common.jobs.dispatch import Dispatcher, Reaper
from services.common.jobs.events import Watcher
from services.common.jobs.queue import JobQueue
from services.common.jobs.store import JobStore
from services.common.metrics import Address, ProcessMetrics
from services.common.redis_connection import connect, connect_async
from services.common.server.artifact import ArtifactServicer
from services.common.server.forward import Forwarder, ForwardingHealth
from services.common.server.interceptor import ServerInterceptor
from services.common.server.job import JobServicer
from services.common.server.submit import Submitter
from services.common.settings import Settings
from tinyfarm.v1 import artifact_pb2_grpc, compiler_pb2, evaluator_pb2, job_pb2_grpc, search_pb2

log = logging.getLogger(__name__)
_THREADS = 32
_SHARED = ("tinyfarm.v1.ArtifactService", "tinyfarm.v1.JobService")
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
    # Clients ping a silent watch every 20 s.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


def service_addresses(settings: Settings) -> dict[str, str]:
    """Return where each service's server answers, by its full name."""
    return {
        search_pb2.DESCRIPTOR.services_by_name["SearchService"].full_name: settings.search_address,
        compiler_pb2.DESCRIPTOR.services_by_name["CompilerService"].full_name: settings.compiler_address,
        evaluator_pb2.DESCRIPTOR.services_by_name["EvaluatorService"].full_name: settings.evaluator_address,
    }


@dataclass(frozen=True, slots=True)
class Plumbing:
    """What a servicer builds on."""

    settings: Settings
    store: JobStore
    dispatcher: Dispatcher
    artifacts: ArtifactStore
    submitter: Submitter
    metrics: ProcessMetrics


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """A service: its short and full name, its usual address, and how its servicer joins a server.

    `add` may return something to be awaited after the server has stopped.
    """

    name: str
    full_name: str
    listen: str
    add: Callable[[grpc.aio.Server, Plumbing], Callable[[], Awaitable[None]] | None]


async def serve(settings: Settings, plan: ServicePlan, on_ready: Callable[[str, str], None]) -> None:
    """Run the server until SIGTERM or SIGINT; `on_ready` is told the addresses of gRPC and metrics."""
    stop = _stop_on_signals()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="work"))
    client, client_async = connect(settings.redis_url), connect_async(settings.redis_url)
    plumbing = _plumbing(client, settings)
    store, dispatcher, metrics = plumbing.store, plumbing.dispatcher, plumbing.metrics

    server = grpc.aio.server(interceptors=(ServerInterceptor(metrics),), options=_OPTIONS)
    artifact_pb2_grpc.add_ArtifactServiceServicer_to_server(ArtifactServicer(plumbing.artifacts), server)
    watcher = Watcher(client_async, store)
    job_pb2_grpc.add_JobServiceServicer_to_server(JobServicer(store, dispatcher, watcher), server)
    close = plan.add(server, plumbing)
    elsewhere = {name: where for name, where in service_addresses(settings).items() if name != plan.full_name}
    forwarder = Forwarder(elsewhere)
    server.add_generic_rpc_handlers((forwarder,))
    health = ForwardingHealth(forwarder)
    _describe(server, health, (plan.full_name, *elsewhere, *_SHARED))

    where = Address.parse(settings.listen or plan.listen)
    port = server.add_insecure_port(str(where))
    await server.start()
    reaper = Reaper(client, store, dispatcher, metrics, settings)
    reaper.start()
    for name in ("", plan.full_name, *_SHARED):
        await health.set(name, health_pb2.HealthCheckResponse.SERVING)
    on_ready(str(Address(where.host, port)), metrics.serve(settings.metrics) if settings.metrics else "")

    await stop.wait()
    log.info("draining for at most %g s", settings.drain_s)
    await health.enter_graceful_shutdown()
    reaper.stop()
    await server.stop(settings.drain_s)
    if close is not None:
        await close()
    await forwarder.close()
    await client_async.aclose()
    client.close()


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _plumbing(client: redis.Redis, settings: Settings) -> Plumbing:
    metrics, store = ProcessMetrics(), JobStore(client, settings)
    dispatcher = Dispatcher(store, JobQueue(client))
    artifacts = ArtifactStore.open(settings.artifacts_url, settings.max_artifact_bytes)
    submitter = Submitter(store, dispatcher, artifacts, metrics)
    return Plumbing(settings, store, dispatcher, artifacts, submitter, metrics)


def _describe(server: grpc.aio.Server, health: ForwardingHealth, services: Sequence[str]) -> None:
    """Add health and reflection."""
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    health_name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
    reflection.enable_server_reflection((*services, health_name, reflection.SERVICE_NAME), server)
