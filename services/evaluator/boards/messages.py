"""Messages on the pipe between a board and the process that simulates it: kind, length, bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum
from typing import IO

_HEADER = struct.Struct("<cI")


class Kind(Enum):
    """What a message carries; the first four go to the engine, the others come from it."""

    LOAD = b"L"  # JSON of an EngineImage, a NUL byte, then the bytes of all segments one after another
    DATA = b"D"  # bytes on the board's line, in either direction
    BUDGET = b"B"  # u64 bytes of code that may run until the next budget; clears the counts
    PROFILE = b"P"  # asks for, and brings, the counts: see profile.py
    RESET = b"R"  # stop the program and start it again
    READY = b"K"  # loaded or reset
    FAULT = b"F"  # JSON of a fault; the program has ended


@dataclass(frozen=True, slots=True)
class Message:
    """One message."""

    kind: Kind
    body: bytes = b""


def write_message(stream: IO[bytes], kind: Kind, body: bytes = b"") -> None:
    """Write one message and flush it."""
    stream.write(_HEADER.pack(kind.value, len(body)) + body)
    stream.flush()


def read_message(stream: IO[bytes]) -> Message | None:
    """Return the next message, None when the other side has closed the pipe."""
    head = stream.read(_HEADER.size)
    if len(head) < _HEADER.size:
        return None
    kind, length = _HEADER.unpack(head)
    body = stream.read(length)
    if len(body) < length:
        return None
    return Message(Kind(kind), body)
