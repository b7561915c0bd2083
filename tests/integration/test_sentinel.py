"""Redis Sentinel: clients find the master by its name, and the next one after it died."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from redis.exceptions import RedisError

from services.common.errors import InvalidArgumentError
from services.common.redis_connection import connect, connect_async

PROGRAM = shutil.which("redis-server")
DEADLINE_S = 90.0

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="redis-server is not installed: apt-get install redis-server")


class Replicated:
    """A master, a replica of it and one sentinel that watches them under the name `farm`, on loopback ports."""

    def __init__(self, folder: Path) -> None:
        self.master, self.replica, self.sentinel = _free_ports(3)
        self.url = f"redis+sentinel://127.0.0.1:{self.sentinel}/farm/0"
        self._folder = folder
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        self._start(self.master, "")
        self._start(self.replica, f"replicaof 127.0.0.1 {self.master}\n")
        until(lambda: _plain(self.replica).info("replication")["master_link_status"] == "up")
        watched = (
            f"sentinel monitor farm 127.0.0.1 {self.master} 1\n"
            "sentinel down-after-milliseconds farm 1000\nsentinel failover-timeout farm 5000\n"
        )
        self._start(self.sentinel, watched, "--sentinel")
        until(lambda: len(_plain(self.sentinel).sentinel_slaves("farm")) == 1)

    def kill(self, port: int) -> None:
        self._running[port].kill()
        self._running[port].wait()

    def stop(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()

    def _start(self, port: int, config: str, *flags: str) -> None:
        file = self._folder / f"{port}.conf"
        file.write_text(f'bind 127.0.0.1\nport {port}\ndir {self._folder}\nsave ""\nprotected-mode no\n{config}')
        self._running[port] = subprocess.Popen([str(PROGRAM), str(file), *flags], stdout=subprocess.DEVNULL)
        until(lambda: bool(_plain(port).ping()))


def _plain(port: int) -> redis.Redis:
    return redis.Redis(port=port, protocol=2, socket_timeout=5)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        try:
            if holds():
                return
        except (RedisError, KeyError):
            pass
        time.sleep(0.1)
    raise AssertionError("it never came true")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicated]:
    replicated = Replicated(tmp_path_factory.mktemp("sentinel"))
    try:
        replicated.start()
        yield replicated
    finally:
        replicated.stop()


def test_url_names_hosts_master_and_database(servers: Replicated) -> None:
    dead, url = _free_ports(1)[0], servers.url.removesuffix("/0")
    connect(url + "/3").set("here", "3")
    several = connect(url.replace("//", f"//127.0.0.1:{dead},") + "/3")
    assert several.get("here") == b"3"
    assert connect(url).get("here") is None


def test_clients_follow_the_master_when_it_dies(servers: Replicated) -> None:
    # the last test of these servers: afterwards one is left
    client = connect(servers.url)
    client.set("job", "queued")
    assert client.connection_pool.get_master_address() == ("127.0.0.1", servers.master)
    until(lambda: _plain(servers.replica).get("job") == b"queued")

    servers.kill(servers.master)
    until(lambda: bool(client.set("job", "running")))
    assert client.get("job") == b"running"
    assert client.connection_pool.get_master_address() == ("127.0.0.1", servers.replica)

    async def read() -> bytes:
        asynchronous = connect_async(servers.url)
        try:
            return bytes(await asynchronous.get("job"))
        finally:
            await asynchronous.aclose()

    assert asyncio.run(read()) == b"running"


def test_other_schemes_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="must be one of redis, rediss, unix, redis\\+sentinel"):
        connect("redis+cluster://127.0.0.1:6379")
