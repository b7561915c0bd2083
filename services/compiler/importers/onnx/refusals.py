"""The two errors of the importer: a file that is not valid, and a node that cannot be compiled."""

from __future__ import annotations

from services.compiler.importers.onnx.model import Node


class InvalidOnnxError(Exception):
    pass


class UnsupportedOnnxError(Exception):
    pass


def invalid(subject: str, value: object, allowed: str) -> InvalidOnnxError:
    """Return the error for a model file that breaks a rule, naming the thing, its value and what is allowed."""
    return InvalidOnnxError(f"{subject} is {value}: {allowed}")


def unsupported(node: Node, reason: str, instead: str) -> UnsupportedOnnxError:
    """Return the refusal of a node, with the reason and what would work."""
    return UnsupportedOnnxError(f"{node.op_type} {node.name!r} cannot be compiled: {reason}; {instead}")
