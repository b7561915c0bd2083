"""Slots: long-lived child processes, replaced after a kill."""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from services.common.jobs.child import child_main
from services.common.jobs.task import Report, TaskOrder
from services.common.settings import Settings

log = logging.getLogger(__name__)
# Never fork: torch and gRPC do not survive it.
_SPAWN = multiprocessing.get_context("spawn")


class ChildDiedError(Exception):
    """The child process is gone; the argument is its exit code (negative: the signal)."""


class Slot:
    """One child process at a time. Not for use from two threads at once."""

    def __init__(self, settings: Settings, handlers: Sequence[str]) -> None:
        self._settings = settings
        self._handlers = tuple(handlers)
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._lifeline: Connection | None = None

    def start(self) -> None:
        """Make sure that there is a living child."""
        if self._process is not None and self._process.is_alive():
            return
        self.kill()
        ours, theirs = _SPAWN.Pipe()
        lifeline_theirs, lifeline_ours = _SPAWN.Pipe(duplex=False)
        self._process = _SPAWN.Process(
            target=child_main, args=(theirs, lifeline_theirs, self._settings, self._handlers), daemon=False
        )
        self._process.start()
        theirs.close()
        lifeline_theirs.close()
        self._pipe, self._lifeline = ours, lifeline_ours

    def give(self, order: TaskOrder) -> None:
        """Hand the child an order; ChildDiedError where it died before it could take it."""
        self.start()
        assert self._pipe is not None
        try:
            self._pipe.send(order)
        except OSError:
            raise ChildDiedError(self._exit_code()) from None

    def next_report(self, timeout_s: float) -> Report | None:
        """Return the child's next report, None after the timeout; ChildDiedError where it is gone."""
        assert self._pipe is not None
        try:
            if not self._pipe.poll(timeout_s):
                return None
            report: Report = self._pipe.recv()
        except (EOFError, OSError):
            raise ChildDiedError(self._exit_code()) from None
        return report

    def kill(self) -> None:
        """End the child and everything it started, at once."""
        if self._process is None:
            return
        pid = self._process.pid
        if pid is not None:
            # The child may not have made its group yet, or be gone with members of the group still alive.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        for end in (self._pipe, self._lifeline):
            if end is not None:
                end.close()
        self._process = self._pipe = self._lifeline = None

    def _exit_code(self) -> int | None:
        assert self._process is not None
        self._process.join(timeout=1)
        return self._process.exitcode


class SlotPool:
    """The slots of a worker process."""

    def __init__(self, settings: Settings, handlers: Sequence[str]) -> None:
        self._slots = [Slot(settings, handlers) for _ in range(settings.slots)]
        self._free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        for slot in self._slots:
            self._free.put(slot)

    def start(self) -> None:
        """Start all children, so that the first job does not wait for imports."""
        for slot in self._slots:
            slot.start()

    @contextmanager
    def take(self) -> Iterator[Slot]:
        """Lend a free slot; there is always one, as no more jobs are fetched than there are slots."""
        slot = self._free.get()
        try:
            yield slot
        finally:
            self._free.put(slot)

    def close(self) -> None:
        """Kill all children."""
        for slot in self._slots:
            slot.kill()
