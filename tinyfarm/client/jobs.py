"""Jobs: get, list, cancel, watch and wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tinyfarm.client.channel import Connection
from tinyfarm.client.errors import InvalidInputError, UnavailableError, raise_unless_succeeded
from tinyfarm.v1 import job_pb2

FINAL_STATES = frozenset((job_pb2.JOB_STATE_SUCCEEDED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED))
WATCH_TIMEOUT_S = 24 * 3600.0
# Broken watches in a row without an event between them; each is preceded by grpc's own attempts.
_MAX_BREAKS = 5

OnEvent = Callable[[job_pb2.JobEvent], None]


class Jobs:
    """The jobs of one project."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def full_name(self, name: str) -> str:
        """`projects/{project}/jobs/{id}` of a name or an id."""
        return name if "/" in name else f"projects/{self._project}/jobs/{name}"

    def get(self, name: str) -> job_pb2.Job:
        """The record of a job."""
        request = job_pb2.GetJobRequest(name=self.full_name(name))
        return self._connection.call(self._connection.jobs.GetJob, request).job

    def list(
        self,
        *,
        kind: job_pb2.JobKind.ValueType = job_pb2.JOB_KIND_UNSPECIFIED,
        state: job_pb2.JobState.ValueType = job_pb2.JOB_STATE_UNSPECIFIED,
        limit: int = 50,
        dead_lettered_only: bool = False,
    ) -> tuple[job_pb2.Job, ...]:
        """The newest jobs first, at most `limit`, through as many pages as it takes."""
        jobs: list[job_pb2.Job] = []
        page_token = ""
        while len(jobs) < limit:
            answer = self._connection.call(
                self._connection.jobs.ListJobs,
                job_pb2.ListJobsRequest(
                    project=self._project,
                    kind=kind,
                    state=state,
                    page_size=min(limit - len(jobs), 500),
                    page_token=page_token,
                    dead_lettered_only=dead_lettered_only,
                ),
            )
            jobs.extend(answer.jobs)
            page_token = answer.next_page_token
            if not page_token:
                break
        return tuple(jobs[:limit])

    def cancel(self, name: str) -> job_pb2.Job:
        """Cancel a job; a finished job is returned unchanged."""
        request = job_pb2.CancelJobRequest(name=self.full_name(name))
        return self._connection.call(self._connection.jobs.CancelJob, request).job

    def watch(self, name: str, resume_token: str = "") -> Iterator[job_pb2.JobEvent]:
        """Every event once, from the start or after a token, until the job ends.

        A broken stream goes on after the last event seen. Where the server no longer keeps that event,
        a snapshot of the job comes in place of the lost ones.
        """
        breaks = 0
        while True:
            request = job_pb2.WatchJobRequest(name=self.full_name(name), resume_token=resume_token)
            try:
                for answer in self._connection.receive(
                    self._connection.jobs.WatchJob, request, timeout_s=WATCH_TIMEOUT_S
                ):
                    breaks = 0
                    resume_token = answer.event.resume_token
                    yield answer.event
                    if answer.event.job.state in FINAL_STATES:
                        return
                if self.get(name).state in FINAL_STATES:
                    return
                breaks += 1
            except UnavailableError:
                breaks += 1
                if breaks >= _MAX_BREAKS:
                    raise
            except InvalidInputError as error:
                # OUT_OF_RANGE follows a snapshot, whose token is good; anything else is a real error.
                if resume_token == request.resume_token:
                    raise error

    def wait(self, name: str, on_event: OnEvent | None = None) -> job_pb2.Job:
        """The record of the job once it succeeded; raises `JobFailedError` or `JobCancelledError` where it did not."""
        last: job_pb2.Job | None = None
        for event in self.watch(name):
            if on_event is not None:
                on_event(event)
            if event.job.state in FINAL_STATES:
                last = event.job
        return raise_unless_succeeded(last if last is not None else self.get(name))
