"""Prometheus metrics of one process: the long-lived parent owns them all, children report over their pipe."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.process_collector import ProcessCollector

from services.common.errors import InvalidArgumentError

_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)

# What a child process may count, by name (a child cannot make new time series).
CHILD_COUNTERS = MappingProxyType(
    {
        "instructions_simulated": "Instructions executed on simulated boards",
        "simulator_seconds": "Seconds that simulated boards ran",
        "samples_on_board": "Samples run on boards",
        "samples_on_twin": "Samples run on host twins",
        "networks_estimated": "Networks a search asked estimates for",
        "subnets_scored": "Subnets whose accuracy a search tried",
        "training_steps": "Optimizer steps of searches",
    }
)


@dataclass(frozen=True, slots=True)
class Address:
    """HOST:PORT."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read HOST:PORT; InvalidArgumentError where it is something else."""
        host, _, port = text.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise InvalidArgumentError(
                f"address {text!r} is not HOST:PORT",
                reason="BAD_ADDRESS",
                subject="address",
                value=text,
                allowed="HOST:PORT, port 0 for a free one",
            )
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class ProcessMetrics:
    """All time series of a service or worker process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.rpcs = Counter("tinyfarm_rpcs", "Calls answered", ("service", "method", "code"), registry=registry)
        self.rpc_seconds = Histogram(
            "tinyfarm_rpc_seconds", "Time to answer", ("service", "method"), buckets=_SECONDS, registry=registry
        )
        self.submitted = Counter(
            "tinyfarm_jobs_submitted", "Jobs submitted here", ("kind", "cached"), registry=registry
        )
        self.running = Gauge("tinyfarm_jobs_running", "Jobs running here", ("kind",), registry=registry)
        self.ended = Counter(
            "tinyfarm_jobs_ended", "Jobs this process stopped running", ("kind", "how"), registry=registry
        )
        self.run_seconds = Histogram(
            "tinyfarm_job_run_seconds", "From claim to end", ("kind",), buckets=_SECONDS, registry=registry
        )
        self.wait_seconds = Histogram(
            "tinyfarm_job_wait_seconds", "From submit to first claim", ("kind",), buckets=_SECONDS, registry=registry
        )
        self.queue_depth = Gauge("tinyfarm_queue_depth", "Messages nobody fetched", ("queue",), registry=registry)
        self.slots = Gauge("tinyfarm_slots", "Jobs this process can run at a time", registry=registry)
        self.children_killed = Counter(
            "tinyfarm_children_killed", "Child processes killed or found dead", ("why",), registry=registry
        )
        self.resent = Counter("tinyfarm_jobs_resent", "Messages the reaper sent again", registry=registry)
        self._children = {
            name: Counter(f"tinyfarm_{name}", text, registry=registry) for name, text in CHILD_COUNTERS.items()
        }

    def count(self, name: str, amount: float) -> None:
        """Add what a child counted."""
        self._children[name].inc(amount)

    def serve(self, address: str) -> str:
        """Serve /metrics until the process ends; return the address with its real port."""
        where = Address.parse(address)
        server, _ = start_http_server(where.port, where.host, registry=self.registry)
        return str(Address(where.host, server.server_port))
