"""What passes between a worker and the child process that does the work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

from services.common.artifacts import ArtifactStore
from services.common.jobs.record import job_name
from services.common.metrics import CHILD_COUNTERS
from services.common.settings import Settings


@dataclass(frozen=True, slots=True)
class TaskOrder:
    """Work for a child: `handler` is MODULE:FUNCTION, `deadline` seconds since the epoch."""

    handler: str
    project: str
    job_id: str
    spec: bytes
    deadline: float
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The job's result and the names of the artifacts it refers to."""

    result: bytes
    artifacts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far the work is, 0 to 1, and what is being done."""

    fraction: float
    text: str


@dataclass(frozen=True, slots=True)
class Logged:
    """A line for people."""

    message: str


@dataclass(frozen=True, slots=True)
class Counted:
    """A counter of CHILD_COUNTERS grew."""

    name: str
    amount: float


@dataclass(frozen=True, slots=True)
class Checkpointed:
    """State was saved that a next attempt goes on from."""


@dataclass(frozen=True, slots=True)
class Published:
    """The result as far as it is known."""

    result: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """The work ended with an error, as FarmError.to_dict gives it."""

    error: dict[str, str]


Report = Progressed | Logged | Counted | Checkpointed | Published | Failed | TaskResult


class TaskContext:
    """What a handler can do besides its work: tell how far it is, keep checkpoints, reach artifacts."""

    def __init__(self, order: TaskOrder, settings: Settings, artifacts: ArtifactStore, pipe: Connection) -> None:
        self.project = order.project
        self.job_id = order.job_id
        self.traceparent = order.traceparent
        self.settings = settings
        self.artifacts = artifacts
        self._deadline = order.deadline
        self._pipe = pipe
        self._lock = threading.Lock()

    @property
    def job_name(self) -> str:
        """The name clients know the job by."""
        return job_name(self.project, self.job_id)

    def remaining_s(self) -> float:
        """Seconds until the job is killed."""
        return max(0.0, self._deadline - time.time())

    def progress(self, fraction: float, text: str) -> None:
        """Tell how far the work is, 0 to 1."""
        self._send(Progressed(min(1.0, max(0.0, fraction)), text))

    def log(self, message: str) -> None:
        """Add a line to the job's events."""
        self._send(Logged(message))

    def count(self, name: str, amount: float) -> None:
        """Add to a counter; KeyError for a name that is none of CHILD_COUNTERS."""
        if name not in CHILD_COUNTERS:
            raise KeyError(f"counter {name!r} is not one of {', '.join(CHILD_COUNTERS)}")
        self._send(Counted(name, amount))

    def save_checkpoint(self, name: str, data: bytes) -> None:
        """Keep state for a next attempt; crashes are counted from here on anew."""
        self.artifacts.save_checkpoint(self.project, self.job_id, name, data)
        self._send(Checkpointed())

    def publish(self, result: bytes) -> None:
        """Show the result as far as it is known, for clients that do not want to wait."""
        self._send(Published(result))

    def load_checkpoint(self, name: str) -> bytes | None:
        """Return the state an earlier attempt saved under the name."""
        return self.artifacts.load_checkpoint(self.project, self.job_id, name)

    def _send(self, report: Report) -> None:
        with self._lock:
            self._pipe.send(report)


Handler = Callable[[bytes, TaskContext], TaskResult]
