"""One supervised process: started on a leash, restarted with backoff, stopped cleanly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_FIRST_BACKOFF_S = 0.2
_MAX_BACKOFF_S = 10.0
# A process that lived this long starts again with the first backoff.
_STEADY_S = 30.0


@dataclass(frozen=True, slots=True)
class Command:
    """What to run: arguments of the leash, additions to the environment, log file."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path


class Child:
    """The process of one command. Not thread-safe: one thread supervises."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self.restarts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._backoff_s = _FIRST_BACKOFF_S
        self._restart_at = 0.0

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start the process; its output is appended to its log."""
        environment = {**os.environ, **self.command.environment}
        with self.command.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tinyfarm.up.leash", *self.command.arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                # Ctrl-C reaches the supervisor alone, which stops its children in order.
                start_new_session=True,
            )
        self._started_at = time.monotonic()
        self._restart_at = 0.0

    def tend(self) -> str | None:
        """Start the process again once its backoff is over; a sentence where it was found dead, else None."""
        if self._process is None or self._process.poll() is None:
            return None
        now = time.monotonic()
        if self._restart_at == 0.0:
            if now - self._started_at > _STEADY_S:
                self._backoff_s = _FIRST_BACKOFF_S
            self._restart_at = now + self._backoff_s
            wait_s, self._backoff_s = self._backoff_s, min(self._backoff_s * 2, _MAX_BACKOFF_S)
            return f"{self.command.name} ended with {self._process.returncode}; starting it again in {wait_s:.1f} s"
        if now >= self._restart_at:
            self._close_leash()
            self.restarts += 1
            self.start()
        return None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process where it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def wait(self, deadline: float) -> None:
        """Wait for the end until the deadline (monotonic), then kill the process and its session."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._close_leash()

    def _close_leash(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
