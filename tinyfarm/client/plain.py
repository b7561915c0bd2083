"""Protobuf messages as plain JSON values: enums by their short lower-case name, 64-bit integers as numbers."""

from __future__ import annotations

import math
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

# Descriptors are typed Any: protobuf has a Python and a native kind, and stubs for the first only.


def plain(message: Message) -> dict[str, Any]:
    """Every field by its name; a message field or optional field that is absent is null."""
    return {field.name: _field(message, field) for field in message.DESCRIPTOR.fields}


def enum_name(message: Message, field: str) -> str:
    """Short lower-case name of an enum field's value: `succeeded` for JOB_STATE_SUCCEEDED."""
    return _enum(message.DESCRIPTOR.fields_by_name[field], getattr(message, field))


def _field(message: Message, field: Any) -> Any:
    if field.is_repeated:
        values = getattr(message, field.name)
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            return dict(values)
        return [_value(field, value) for value in values]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _value(field, getattr(message, field.name))


def _value(field: Any, value: Any) -> Any:
    if isinstance(value, Timestamp):
        return value.ToJsonString()
    if isinstance(value, Message):
        return plain(value)
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
    return str(values[number].name).removeprefix(prefix).lower()
