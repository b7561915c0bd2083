"""Calls from one service to another: deadlines, the parent job and the trace go with every call."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, TypeVar

import grpc
import grpc.aio

from services.common.errors import (
    CanceledError,
    DeadlineError,
    FarmError,
    InternalError,
    UnavailableError,
    error_from_dict,
)
from services.common.jobs.task import TaskContext
from tinyfarm.v1 import error_pb2, job_pb2, job_pb2_grpc

# Trailing metadata in which a failed call carries our own Error message.
ERROR_KEY = "tinyfarm-error-bin"
PARENT_KEY = "tinyfarm-parent-job"
TRACE_KEY = "traceparent"
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_RETRY = {
    "methodConfig": [
        {
            "name": [{}],
            "waitForReady": True,
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.2s",
                "maxBackoff": "3s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
# For channels that pass calls on: whoever called decides about waiting and trying again.
CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 20_000),
)
_CALL_TIMEOUT_S = 120.0
_FINAL = (job_pb2.JOB_STATE_SUCCEEDED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED)

Request = TypeVar("Request")
Response = TypeVar("Response")
Response_co = TypeVar("Response_co", covariant=True)
Request_contra = TypeVar("Request_contra", contravariant=True)


class UnaryMethod(Protocol[Request_contra, Response_co]):
    """A method of a stub that takes and gives one message."""

    def __call__(
        self, request: Request_contra, *, timeout: float | None, metadata: tuple[tuple[str, str], ...]
    ) -> Response_co:
        """Call it."""


class Peer:
    """Another service, as the child process that does a job calls it."""

    def __init__(self, address: str, context: TaskContext) -> None:
        self.address = address
        self._context = context
        options = (*CHANNEL_OPTIONS, ("grpc.service_config", json.dumps(_RETRY)))
        self.channel = grpc.insecure_channel(address, options=options)
        self._jobs = job_pb2_grpc.JobServiceStub(self.channel)
        metadata = [(PARENT_KEY, context.job_name)]
        if context.traceparent:
            metadata.append((TRACE_KEY, context.traceparent))
        self._metadata = tuple(metadata)

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.channel.close()

    def call(self, method: UnaryMethod[Request, Response], request: Request) -> Response:
        """Return the answer within the time the job has left; raises the FarmError the service told."""
        timeout = min(_CALL_TIMEOUT_S, self._context.remaining_s())
        try:
            return method(request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise error_from_call(error, self.address) from None

    def wait(self, job: job_pb2.Job, on_progress: Callable[[float, str], None] | None = None) -> job_pb2.Job:
        """Return the job once it has succeeded; raises its error where it has not.

        A watch that breaks goes on where it was.
        """
        token = ""
        while job.state not in _FINAL:
            if self._context.remaining_s() <= 0:
                raise DeadlineError(f"{job.name} did not end in time", subject="job", value=job.name)
            try:
                token = self._watch(job.name, token, on_progress)
            except UnavailableError:
                time.sleep(0.5)
            job = self.call(self._jobs.GetJob, job_pb2.GetJobRequest(name=job.name)).job
        if job.state == job_pb2.JOB_STATE_SUCCEEDED:
            return job
        if job.state == job_pb2.JOB_STATE_CANCELLED:
            raise CanceledError(f"{job.name} was cancelled", subject="job", value=job.name)
        raise error_from_proto(job.error)

    def _watch(self, name: str, token: str, on_progress: Callable[[float, str], None] | None) -> str:
        request = job_pb2.WatchJobRequest(name=name, resume_token=token)
        try:
            for answer in self._jobs.WatchJob(request, timeout=self._context.remaining_s(), metadata=self._metadata):
                token = answer.event.resume_token
                if on_progress and answer.event.kind == job_pb2.JOB_EVENT_KIND_PROGRESS:
                    on_progress(answer.event.progress.fraction, answer.event.progress.text)
        except grpc.RpcError as error:
            told = error_from_call(error, self.address)
            if told.reason != "RESUME_TOKEN_TOO_OLD":
                raise told from None
        return token


def error_from_call(error: grpc.RpcError, address: str) -> FarmError:
    """Return the error a service told, or what the status says."""
    if not isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return InternalError(f"call to {address} failed: {error}", subject=address)
    for key, value in error.trailing_metadata() or ():
        if key == ERROR_KEY and isinstance(value, bytes):
            return error_from_proto(error_pb2.Error.FromString(value))
    code = error.code()
    if code is grpc.StatusCode.UNAVAILABLE:
        return UnavailableError(f"the service at {address} does not answer", subject="service", value=address)
    details = error.details() or f"the service at {address} answered {code.name}"
    return error_from_dict({"code": code.name, "reason": code.name, "message": details, "subject": address})


def error_from_proto(error: error_pb2.Error) -> FarmError:
    """Return the error of a message."""
    return error_from_dict(
        {
            "code": error_pb2.ErrorCode.Name(error.code).removeprefix("ERROR_CODE_"),
            "reason": error.reason,
            "message": error.message,
            "subject": error.subject,
            "value": error.value,
            "allowed": error.allowed,
        }
    )
