"""The one error tree: every error names the thing, its value and what is allowed.

Codes are gRPC status codes by name, so that one interceptor maps any error to a status and no module behind
it needs to know gRPC.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar


class ErrorCode(Enum):
    """What kind of failure, numbered as the gRPC status codes."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class FarmError(Exception):
    """A failure that is told to the user: one sentence, and the same in parts for programs.

    `reason` is an UPPER_SNAKE word; `subject` the thing, `value` what it was, `allowed` what would work.
    """

    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL
    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self, message: str, *, reason: str = "", subject: str = "", value: object = "", allowed: object = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.subject = subject
        self.value = str(value)
        self.allowed = str(allowed)

    def to_dict(self) -> dict[str, str]:
        """Return the error as plain text fields, for records and pipes."""
        return {
            "code": self.code.name,
            "reason": self.reason,
            "message": self.message,
            "subject": self.subject,
            "value": self.value,
            "allowed": self.allowed,
        }


class InvalidArgumentError(FarmError):
    """The request is wrong whatever the state of the system."""

    code = ErrorCode.INVALID_ARGUMENT
    default_reason = "INVALID_ARGUMENT"


class UnsupportedError(FarmError):
    """The request is right but this version cannot do it, for instance an operator without a kernel."""

    code = ErrorCode.UNIMPLEMENTED
    default_reason = "UNSUPPORTED"


class NotFoundError(FarmError):
    """A named thing does not exist."""

    code = ErrorCode.NOT_FOUND
    default_reason = "NOT_FOUND"


class AlreadyExistsError(FarmError):
    """The name is taken by something else."""

    code = ErrorCode.ALREADY_EXISTS
    default_reason = "ALREADY_EXISTS"


class FailedPreconditionError(FarmError):
    """The state of the thing does not allow it, for instance the front of a job that is no search."""

    code = ErrorCode.FAILED_PRECONDITION
    default_reason = "FAILED_PRECONDITION"


class OutOfRangeError(FarmError):
    """A position that no longer exists, for instance a resume token older than the kept events."""

    code = ErrorCode.OUT_OF_RANGE
    default_reason = "OUT_OF_RANGE"


class ExhaustedError(FarmError):
    """A limit of the system or a size limit was reached."""

    code = ErrorCode.RESOURCE_EXHAUSTED
    default_reason = "RESOURCE_EXHAUSTED"


class DeadlineError(FarmError):
    """A time limit ended the work."""

    code = ErrorCode.DEADLINE_EXCEEDED
    default_reason = "TIME_LIMIT"


class CanceledError(FarmError):
    """Somebody cancelled the work."""

    code = ErrorCode.CANCELLED
    default_reason = "CANCELLED"


class UnavailableError(FarmError):
    """A part of the system does not answer now; trying again may help."""

    code = ErrorCode.UNAVAILABLE
    default_reason = "UNAVAILABLE"


class DataLossError(FarmError):
    """Bytes are not what they were said to be."""

    code = ErrorCode.DATA_LOSS
    default_reason = "DATA_LOSS"


class CrashedError(FarmError):
    """The process that did the work died, as often as the job may be tried."""

    code = ErrorCode.ABORTED
    default_reason = "CRASHED"


class InternalError(FarmError):
    """A bug: details are in the logs of the process that hit it."""


_BY_CODE: dict[ErrorCode, type[FarmError]] = {
    kind.code: kind
    for kind in (
        InvalidArgumentError,
        UnsupportedError,
        NotFoundError,
        AlreadyExistsError,
        FailedPreconditionError,
        OutOfRangeError,
        ExhaustedError,
        DeadlineError,
        CanceledError,
        UnavailableError,
        DataLossError,
        CrashedError,
        InternalError,
    )
}

# The same request fails the same way again: such a failure also answers identical work that waits for it.
DETERMINISTIC = frozenset({ErrorCode.INVALID_ARGUMENT, ErrorCode.UNIMPLEMENTED, ErrorCode.FAILED_PRECONDITION})


def error_from_dict(fields: dict[str, str]) -> FarmError:
    """Return the error that `to_dict` described; an unknown code is an InternalError."""
    code = ErrorCode[fields["code"]] if fields.get("code") in ErrorCode.__members__ else ErrorCode.INTERNAL
    return _BY_CODE.get(code, InternalError)(
        fields.get("message", ""),
        reason=fields.get("reason", ""),
        subject=fields.get("subject", ""),
        value=fields.get("value", ""),
        allowed=fields.get("allowed", ""),
    )
