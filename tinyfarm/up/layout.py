"""Files of one stack: everything in its state folder but the socket, whose path must be short."""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tinyfarm.client.address import LOCK_FILE

_MAX_SOCKET_PATH_BYTES = 100
_LOCK_ATTEMPTS = 10
_LOCK_PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below one state folder."""

    folder: Path

    @property
    def logs(self) -> Path:
        """One log file a process."""
        return self.folder / "logs"

    @property
    def artifacts(self) -> Path:
        """Content-addressed bytes."""
        return self.folder / "artifacts"

    @property
    def valkey(self) -> Path:
        """Append-only file, configuration and pid of the Valkey server."""
        return self.folder / "valkey"

    @property
    def socket(self) -> Path:
        """Unix socket of Valkey, in a private folder of the temporary folder: the kernel allows about 100 bytes.

        Raises `OSError` where somebody else owns that folder.
        """
        digest = hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]
        private = Path(tempfile.gettempdir()) / f"tinyfarm-{os.getuid()}"
        if len(os.fsencode(private)) > _MAX_SOCKET_PATH_BYTES - 20:
            private = Path("/tmp") / f"tinyfarm-{os.getuid()}"
        private.mkdir(mode=0o700, exist_ok=True)
        status = private.stat(follow_symlinks=False)
        if status.st_uid != os.getuid() or private.is_symlink():
            raise PermissionError(f"{private} belongs to somebody else: remove it or set TMPDIR")
        private.chmod(0o700)
        return private / f"{digest}.sock"

    def create(self) -> None:
        """Make the folders, readable by their owner only."""
        for path in (self.folder, self.logs, self.artifacts, self.valkey):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def lock(self) -> TextIO | None:
        """The lock of this state folder, held until closed or the process dies; None where another stack has it."""
        file = (self.folder / LOCK_FILE).open("a+", encoding="utf-8")
        # More than once: a command that asks whether a stack runs shares the lock for a moment.
        for _ in range(_LOCK_ATTEMPTS):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return file
            except OSError:
                time.sleep(_LOCK_PAUSE_S)
        file.close()
        return None


def free_ports(count: int) -> tuple[int, ...]:
    """Ports of the loopback address that nobody listens on; all are held while they are chosen, so none comes twice."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return tuple(each.getsockname()[1] for each in sockets)
    finally:
        for each in sockets:
            each.close()


def tail(path: Path, lines: int = 6) -> str:
    """The last lines of a log."""
    try:
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
