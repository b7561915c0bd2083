"""Protobuf messages as plain JSON values: 64-bit integers as numbers, enums by their short lower-case name.

But for error codes, which are spelled as gRPC and every other error document spell them.
"""

from __future__ import annotations

import math
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

# Descriptors are typed Any: protobuf has a Python and a native kind, and stubs for the first only.


# Graphs, plans and manifests: most of a result's bytes, and what few who read a list or a stream of jobs ask for.
_BULKY = frozenset(
    f"tinyfarm.v1.{name}"
    for name in (
        "CompileResult.network",
        "CompileResult.planned_schedule",
        "CompileResult.manifest_json",
        "NetworkEstimate.schedule",
        "NetworkEstimate.layers",
        "FrontPoint.network",
        "EvaluationResult.layers",
    )
)


def plain(message: Message) -> dict[str, Any]:
    """Every field by its name; a message field or optional field that is absent is null."""
    return _fields(message, frozenset())


def brief(message: Message) -> dict[str, Any]:
    """As `plain`, without networks, schedules, manifests and layers."""
    return _fields(message, _BULKY)


def _fields(message: Message, left_out: frozenset[str]) -> dict[str, Any]:
    wanted = [field for field in message.DESCRIPTOR.fields if field.full_name not in left_out]
    return {field.name: _field(message, field, left_out) for field in wanted}


def enum_name(message: Message, field: str) -> str:
    """Short lower-case name of an enum field's value: `succeeded` for JOB_STATE_SUCCEEDED."""
    return _enum(message.DESCRIPTOR.fields_by_name[field], getattr(message, field))


def _field(message: Message, field: Any, left_out: frozenset[str]) -> Any:
    if field.is_repeated:
        values = getattr(message, field.name)
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            return dict(values)
        return [_value(field, value, left_out) for value in values]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _value(field, getattr(message, field.name), left_out)


def _value(field: Any, value: Any, left_out: frozenset[str]) -> Any:
    if isinstance(value, Timestamp):
        return value.ToJsonString()
    if isinstance(value, Message):
        return _fields(value, left_out)
    if field.enum_type is not None:
        return _enum(field, value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _enum(field: Any, number: int) -> str:
    values = field.enum_type.values_by_number
    if number not in values:
        return str(number)
    prefix = str(values[0].name).removesuffix("UNSPECIFIED")
    name = str(values[number].name).removeprefix(prefix)
    return name if field.enum_type.name == "ErrorCode" else name.lower()
