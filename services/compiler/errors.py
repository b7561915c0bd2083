"""What can be wrong with a model that a user brings."""

from __future__ import annotations

from services.common.errors import InvalidArgumentError, UnsupportedError


class InvalidModelError(InvalidArgumentError):
    """The file is not a readable model: truncated, corrupt or inconsistent with itself."""

    default_reason = "INVALID_MODEL"


class UnsupportedModelError(UnsupportedError):
    """The model is well formed but holds an operator, type or shape that cannot be compiled."""

    default_reason = "UNSUPPORTED_MODEL"
