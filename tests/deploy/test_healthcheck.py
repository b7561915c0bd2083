"""The containers' health probe against a real gRPC server."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer

PROBE = Path(__file__).resolve().parents[2] / "deploy" / "healthcheck.py"


@pytest.fixture
def health() -> Iterator[tuple[HealthServicer, str]]:
    server = grpc.server(ThreadPoolExecutor(2))
    servicer = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"127.0.0.1:{port}"
    server.stop(None).wait()


def exit_code(address: str) -> int:
    return subprocess.run([sys.executable, PROBE, address], capture_output=True, timeout=60, check=False).returncode


def test_probe_follows_the_server_state(health: tuple[HealthServicer, str]) -> None:
    servicer, address = health
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    assert exit_code(address) == 0
    servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    assert exit_code(address) == 1


def test_probe_fails_where_nobody_listens() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        assert exit_code(f"127.0.0.1:{held.getsockname()[1]}") == 1
