"""What can be wrong with a model that a user brings."""

from __future__ import annotations


class ModelError(Exception):
    """A model that the compiler refuses: the file is broken, or it holds what cannot be compiled."""


class InvalidModelError(ModelError):
    """The file is not a readable model: truncated, corrupt or inconsistent with itself."""


class UnsupportedModelError(ModelError):
    """The model is well formed but holds an operator, type or shape that cannot be compiled."""
