"""The client's one tree of errors: each names the thing, its value and what is allowed."""

from __future__ import annotations

import grpc

from tinyfarm.v1 import error_pb2, job_pb2

ERROR_KEY = "tinyfarm-error-bin"


class TinyfarmError(Exception):
    """Something a user can act on.

    `code` is the name of a gRPC status code, `reason` an UPPER_SNAKE word for programs, `hint` the next step.
    """

    default_code = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        reason: str = "",
        subject: str = "",
        value: str = "",
        allowed: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.message = message
        self.reason = reason
        self.subject = subject
        self.value = value
        self.allowed = allowed
        self.hint = hint

    def line(self) -> str:
        """The error in one line: the message, then what it leaves out of subject, value and allowed."""
        parts = [" ".join(self.message.split())]
        if self.subject and self.subject not in self.message:
            parts.append(f"in {_short(self.subject)}")
        if self.value and self.value not in self.message:
            parts.append(f"value {_short(self.value)}")
        if self.allowed and self.allowed not in self.message:
            parts.append(f"allowed: {_short(self.allowed)}")
        return "; ".join(parts)

    def document(self) -> dict[str, dict[str, str]]:
        """The error as JSON values (docs/errors.md)."""
        parts = ("code", "reason", "message", "subject", "value", "allowed")
        return {"error": {part: str(getattr(self, part)) for part in parts}}


class InvalidInputError(TinyfarmError):
    """An argument, a file or a combination of them that can never work."""

    default_code = "INVALID_ARGUMENT"


class NotFoundError(TinyfarmError):
    """A job, an artifact or a board that the server does not know."""

    default_code = "NOT_FOUND"


class ConflictError(TinyfarmError):
    """The same request id with another payload, or a state that does not allow the call."""

    default_code = "FAILED_PRECONDITION"


class UnavailableError(TinyfarmError):
    """The server cannot be reached, is overloaded, or did not answer in time: trying again may help."""

    default_code = "UNAVAILABLE"


class ServerFaultError(TinyfarmError):
    """A fault on the server's side."""


class JobFailedError(TinyfarmError):
    """A job ended without a result; `job` is its record."""

    def __init__(self, job: job_pb2.Job) -> None:
        error = job.error
        super().__init__(
            error.message or f"job {job.name} failed without saying why",
            code=error_pb2.ErrorCode.Name(error.code).removeprefix("ERROR_CODE_"),
            reason=error.reason,
            subject=error.subject,
            value=error.value,
            allowed=error.allowed,
            hint=f"tinyfarm get {job.name.rsplit('/', 1)[-1]} --json shows the whole record",
        )
        self.job = job


class JobCancelledError(JobFailedError):
    """A job was cancelled."""


_BY_CODE: dict[grpc.StatusCode, type[TinyfarmError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInputError,
    grpc.StatusCode.OUT_OF_RANGE: InvalidInputError,
    grpc.StatusCode.UNIMPLEMENTED: InvalidInputError,
    grpc.StatusCode.DATA_LOSS: InvalidInputError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: ConflictError,
    grpc.StatusCode.FAILED_PRECONDITION: ConflictError,
    grpc.StatusCode.ABORTED: ConflictError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: UnavailableError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: UnavailableError,
}


def from_rpc(error: grpc.RpcError, server: str) -> TinyfarmError:
    """The tree's error for a failed call: from the `Error` in the trailing metadata, else from the status alone."""
    if not isinstance(error, grpc.Call):
        return ServerFaultError(f"call to server {server} failed: {error}", subject="server", value=server)
    code = error.code()
    kind = _BY_CODE.get(code, ServerFaultError)
    detail = _detail(error)
    if detail is not None:
        return kind(
            detail.message,
            code=code.name,
            reason=detail.reason,
            subject=detail.subject,
            value=detail.value,
            allowed=detail.allowed,
        )
    if code is grpc.StatusCode.UNAVAILABLE:
        return UnavailableError(
            f"server {server} cannot be reached",
            reason="UNREACHABLE",
            subject="server",
            value=server,
            allowed="host:port of a stack that is up",
            hint="check the address and that the stack is up: tinyfarm up",
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return UnavailableError(
            f"server {server} did not answer in time",
            code=code.name,
            reason="DEADLINE_EXCEEDED",
            subject="server",
            value=server,
            hint="try again, or look at the server's logs",
        )
    said = f": {error.details()}" if error.details() else ""
    message = f"server {server} answered {code.name}{said}"
    return kind(message, code=code.name, reason=code.name, subject="server", value=server)


def raise_unless_succeeded(job: job_pb2.Job) -> job_pb2.Job:
    """The job itself where it succeeded, else its error."""
    if job.state == job_pb2.JOB_STATE_SUCCEEDED:
        return job
    raise JobCancelledError(job) if job.state == job_pb2.JOB_STATE_CANCELLED else JobFailedError(job)


def _detail(error: grpc.Call) -> error_pb2.Error | None:
    for key, value in error.trailing_metadata() or ():
        if key == ERROR_KEY and isinstance(value, bytes):
            return error_pb2.Error.FromString(value)
    return None


def _short(text: str, limit: int = 200) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 3] + "..."
