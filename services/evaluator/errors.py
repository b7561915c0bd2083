"""What can go wrong between a C library and its figures; all of it is in the project's one error tree."""

from __future__ import annotations

from services.common.errors import (
    DeadlineError,
    FailedPreconditionError,
    InvalidArgumentError,
    UnavailableError,
)


class LibraryError(InvalidArgumentError):
    """The zip is no C library as the compiler writes it."""

    default_reason = "BAD_LIBRARY"


class BoardError(UnavailableError):
    """The board does not answer as the protocol says, or its process died."""

    default_reason = "BOARD_FAILED"


class BoardTimeoutError(DeadlineError):
    """The board did not answer within its time limit."""

    default_reason = "BOARD_TIME_LIMIT"


class ProgramFault(FailedPreconditionError):  # noqa: N818 - a fault is the hardware's own word
    """The program on the board did something that the core refuses."""

    default_reason = "FAULT"


class BadAccessFault(ProgramFault):
    """A load, store or fetch outside the memory it may use."""

    default_reason = "BAD_ACCESS"


class UndefinedInstructionFault(ProgramFault):
    """An instruction that this core does not have."""

    default_reason = "UNDEFINED_INSTRUCTION"


class EndlessLoopFault(ProgramFault):
    """The instruction budget was used up before the model returned."""

    default_reason = "ENDLESS_LOOP"


class StackOverflowFault(ProgramFault):
    """The stack grew below the bottom of the SRAM."""

    default_reason = "STACK_OVERFLOW"


class ModelRefusedFault(ProgramFault):
    """The model's invoke returned an error code."""

    default_reason = "INVOKE_FAILED"
