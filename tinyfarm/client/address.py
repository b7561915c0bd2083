"""Where the server is: a given address, TINYFARM_SERVER, or the running embedded stack's address file."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tinyfarm.client.errors import InvalidInputError, UnavailableError

SERVER_VARIABLE = "TINYFARM_SERVER"
STATE_VARIABLE = "TINYFARM_STATE_DIR"
ADDRESS_FILE = "address.json"
LOCK_FILE = "lock"


def state_dir() -> Path:
    """Folder of the embedded stack: TINYFARM_STATE_DIR, else tinyfarm in the user's state folder (XDG)."""
    chosen = os.environ.get(STATE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "tinyfarm"


def check_server(address: str) -> str:
    """The address itself, or `InvalidInputError` where it is not HOST:PORT."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and 0 < int(port) < 65536 and not any(c.isspace() for c in address):
        return address
    raise InvalidInputError(
        f"server address {address!r} is not HOST:PORT",
        reason="BAD_SERVER_ADDRESS",
        subject="server",
        value=address,
        allowed="HOST:PORT with a port of 1 to 65535",
    )


def write_address_file(folder: Path, server: str, pid: int) -> None:
    """Tell other processes where the stack of this state folder answers."""
    target = folder / ADDRESS_FILE
    draft = target.with_suffix(".tmp")
    draft.write_text(json.dumps({"server": server, "pid": pid}) + "\n", encoding="utf-8")
    draft.replace(target)


def read_address_file(folder: Path) -> str | None:
    """Address of the stack of this state folder, or None where none is running."""
    try:
        content = json.loads((folder / ADDRESS_FILE).read_text(encoding="utf-8"))
        server, pid = str(content["server"]), int(content["pid"])
        os.kill(pid, 0)
        return server if _is_held(folder / LOCK_FILE) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_held(lock: Path) -> bool:
    """A stack holds its folder's lock while it lives; after a restart of the machine its pid may be somebody else's."""
    import fcntl  # here, since a client may run where there is none

    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def resolve_server(address: str | None = None) -> str:
    """The server to talk to.

    Raises `UnavailableError` where none is given and no embedded stack is running.
    """
    chosen = address or os.environ.get(SERVER_VARIABLE)
    if chosen:
        return check_server(chosen)
    running = read_address_file(state_dir())
    if running:
        return running
    raise UnavailableError(
        f"no server given and no embedded stack is running in {state_dir()}",
        reason="NO_SERVER",
        subject="server",
        allowed="an address, TINYFARM_SERVER, or a running `tinyfarm up`",
        hint="start one with: tinyfarm up",
    )
