"""Live progress on standard error: of a job, or of work that the command does itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TypeVar

from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tinyfarm.cli.output import printable, stderr
from tinyfarm.client import Client, TinyfarmError
from tinyfarm.client.errors import raise_unless_succeeded
from tinyfarm.client.jobs import FINAL_STATES
from tinyfarm.v1 import job_pb2

Item = TypeVar("Item")
Result = TypeVar("Result")

# A log gets a line at each of these shares of a long job.
_LOG_EVERY = 0.1


def follow(client: Client, job: job_pb2.Job, what: str, *, show_log: bool = False) -> job_pb2.Job:
    """Wait for a job with a progress bar; returns the job where it succeeded, else raises its error.

    Ctrl-C cancels the job: nobody waits for it any more.
    """
    try:
        return raise_unless_succeeded(_draw(client, job, what, show_log))
    except KeyboardInterrupt:
        with contextlib.suppress(TinyfarmError):
            client.cancel(job.name)
        raise


def map_with_bar(function: Callable[[Item], Result], items: Sequence[Item], what: str) -> list[Result]:
    """The function's results, in order, while a progress bar says how many there are; what it raises ends the bar."""
    with _progress() as progress:
        task = progress.add_task(escape(printable(what)), total=len(items), now="")
        return [function(item) for item in progress.track(items, task_id=task)]


def _progress() -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[now]}"),
    )
    # Not on a pipe: a log has no use for bars, and an error stays the one line that it is.
    return Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal)


def _draw(client: Client, job: job_pb2.Job, what: str, show_log: bool) -> job_pb2.Job:
    """Draw the job's progress until it ends; the job as it ended."""
    last, next_line = job, _LOG_EVERY
    with _progress() as progress:
        task = progress.add_task(escape(printable(what)), total=1.0, now="queued")
        for event in client.watch(job.name):
            if event.kind == job_pb2.JOB_EVENT_KIND_LOG and show_log:
                progress.console.print(escape(printable(event.message)))
            now = event.progress.text if event.HasField("progress") else ""
            done = event.progress.fraction if event.HasField("progress") else None
            progress.update(task, completed=done)
            if now:
                progress.update(task, now=escape(printable(now)))
            if show_log and progress.disable and done is not None and done >= next_line:
                stderr.print(f"{done:4.0%}  {printable(now)}", markup=False)
                next_line = done + _LOG_EVERY
            if event.job.state in FINAL_STATES:
                last = event.job
    return last if last.state in FINAL_STATES else client.get(job.name)
