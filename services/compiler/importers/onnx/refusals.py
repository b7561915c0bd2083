"""The two errors of the importer: a file that is not valid, and a node that cannot be compiled."""

from __future__ import annotations

from services.compiler.errors import InvalidModelError, UnsupportedModelError
from services.compiler.importers.onnx.model import Node


def invalid(subject: str, value: object, allowed: str) -> InvalidModelError:
    """Return the error for a model file that breaks a rule, naming the thing, its value and what is allowed."""
    return InvalidModelError(f"{subject} is {value}: {allowed}", subject=subject, value=value, allowed=allowed)


def unsupported(node: Node, reason: str, instead: str) -> UnsupportedModelError:
    """Return the refusal of a node, with the reason and what would work."""
    subject = f"{node.op_type} {node.name!r}"
    message = f"{subject} cannot be compiled: {reason}; {instead}"
    return UnsupportedModelError(message, subject=subject, value=reason, allowed=instead)
