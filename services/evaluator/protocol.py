"""The host's side of the frames that firmware/README.md describes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from services.evaluator.errors import BadAccessFault, BoardError, ModelRefusedFault

MAGIC = 0x31524654
CHUNK_BYTES = 4096
_HEADER = struct.Struct("<IBBHII")
_CRC = _WORD = struct.Struct("<I")
_INFO = struct.Struct("<III")
_INVOKED = struct.Struct("<iII")
_FAULT_REGISTERS = struct.Struct("<8I")
_ATTEMPTS = 3


class FrameType(IntEnum):
    """What a frame asks for or answers."""

    INFO = 1
    WRITE = 2
    INVOKE = 3
    READ = 4
    FAULT = 5
    ROWS = 6


class Status(IntEnum):
    """How a request went."""

    OK = 0
    BAD_CRC = 1
    BAD_TYPE = 2
    BAD_RANGE = 3
    INVOKE_FAILED = 4


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; `argument` is an arena offset in bytes or the first of some rows where the type has one."""

    type: FrameType
    sequence: int
    status: Status
    argument: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Info:
    """What the firmware says of itself, in bytes."""

    version: int
    arena_bytes: int
    stack_bytes: int


@dataclass(frozen=True, slots=True)
class Invoked:
    """The answer to an invoke; `counter` is the board's own, 0 where the simulator counts."""

    counter: int
    stack_bytes: int


@dataclass(frozen=True, slots=True)
class PulledInput:
    """An input that the host keeps: the board asks for its rows while it runs the model."""

    data: bytes
    row_bytes: int

    def rows(self, first: int, count: int) -> bytes:
        """Return some rows. Raises BoardError where the input has no such."""
        start, stop = first * self.row_bytes, (first + count) * self.row_bytes
        if not start < stop <= len(self.data):
            raise BoardError(
                f"the board asked for rows {first} to {first + count - 1} of the input",
                subject="rows",
                value=first,
                allowed=f"0 to {len(self.data) // self.row_bytes - 1}",
            )
        return self.data[start:stop]


@dataclass(frozen=True, slots=True)
class Line:
    """A byte line to a board: write all, read exactly n bytes; both raise the errors of this service."""

    write: Callable[[bytes], None]
    read: Callable[[int], bytes]


def pack_frame(frame: Frame) -> bytes:
    """Return the frame's bytes with its CRC."""
    body = (
        _HEADER.pack(MAGIC, frame.type, frame.sequence, frame.status, frame.argument, len(frame.payload))
        + frame.payload
    )
    return body + _CRC.pack(zlib.crc32(body))


def read_frame(line: Line) -> Frame:
    """Read one frame; a wrong magic or CRC is a BoardError."""
    head = line.read(_HEADER.size)
    magic, kind, sequence, status, argument, length = _HEADER.unpack(head)
    if magic != MAGIC:
        raise BoardError(
            f"the board sent no frame: it starts with {magic:#010x}",
            subject="frame",
            value=hex(magic),
            allowed=hex(MAGIC),
        )
    payload = line.read(length)
    (sent,) = _CRC.unpack(line.read(_CRC.size))
    if sent != zlib.crc32(head + payload):
        raise BoardError("the board's frame has a wrong CRC", subject="frame", value=hex(sent))
    try:
        return Frame(FrameType(kind), sequence, Status(status), argument, payload)
    except ValueError as error:
        raise BoardError(f"the board sent an unknown frame: {error}", subject="frame", value=kind) from error


class Session:
    """Requests and answers over a line; a request whose CRC broke on the way is sent again."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._sequence = 0

    def _ask(
        self, kind: FrameType, argument: int = 0, payload: bytes = b"", pulled: PulledInput | None = None
    ) -> Frame:
        for _ in range(_ATTEMPTS):
            self._sequence = (self._sequence + 1) & 0xFF
            self._line.write(pack_frame(Frame(kind, self._sequence, Status.OK, argument, payload)))
            answer = self._next_frame(pulled)
            if answer.type is FrameType.FAULT:
                raise _fault(answer)
            if answer.type is not kind or answer.sequence != self._sequence:
                raise BoardError(
                    f"the board answered {answer.type.name} to {kind.name}", subject="frame", value=answer.type.name
                )
            if answer.status is not Status.BAD_CRC:
                return answer
        raise BoardError(f"the board found a wrong CRC {_ATTEMPTS} times", subject="frame", value=_ATTEMPTS)

    def _next_frame(self, pulled: PulledInput | None) -> Frame:
        """Return the next frame that is no question for rows; those are answered."""
        while (frame := read_frame(self._line)).type is FrameType.ROWS:
            if pulled is None or len(frame.payload) != _WORD.size:
                raise BoardError(
                    f"the board asked for rows from {frame.argument} on, of which nothing is known",
                    subject="rows",
                    value=frame.argument,
                )
            (count,) = _WORD.unpack(frame.payload)
            rows = pulled.rows(frame.argument, count)
            self._line.write(pack_frame(Frame(FrameType.ROWS, frame.sequence, Status.OK, frame.argument, rows)))
        return frame

    def _expect_ok(self, answer: Frame) -> Frame:
        if answer.status is not Status.OK:
            raise BoardError(
                f"the board refused {answer.type.name} at byte {answer.argument}: {answer.status.name}",
                subject=answer.type.name,
                value=answer.argument,
                allowed="inside the arena",
            )
        return answer

    def info(self) -> Info:
        """Ask the firmware who it is."""
        return Info(*_INFO.unpack(self._expect_ok(self._ask(FrameType.INFO)).payload))

    def write(self, offset_bytes: int, data: bytes) -> None:
        """Write bytes into the arena."""
        for start in range(0, len(data), CHUNK_BYTES):
            self._expect_ok(self._ask(FrameType.WRITE, offset_bytes + start, data[start : start + CHUNK_BYTES]))

    def invoke(self, pulled: PulledInput | None = None) -> Invoked:
        """Run the model once; ModelRefusedFault when it returns an error code."""
        code, counter, stack = _INVOKED.unpack(self._ask(FrameType.INVOKE, pulled=pulled).payload)
        if code != 0:
            raise ModelRefusedFault(f"the model's invoke returned {code}", subject="invoke", value=code, allowed=0)
        return Invoked(counter, stack)

    def read(self, offset_bytes: int, size_bytes: int) -> bytes:
        """Read bytes from the arena; BoardError where others come than were asked for."""
        payload = _WORD.pack(size_bytes)
        answer = self._expect_ok(self._ask(FrameType.READ, offset_bytes, payload))
        if len(answer.payload) != size_bytes:
            raise BoardError(
                f"the board sent {len(answer.payload)} bytes of {size_bytes}", subject="read", value=len(answer.payload)
            )
        return answer.payload


def _fault(frame: Frame) -> BadAccessFault:
    registers = _FAULT_REGISTERS.unpack(frame.payload)
    return BadAccessFault(
        f"the core took exception {frame.argument} at pc {registers[6]:#010x}",
        subject="exception",
        value=frame.argument,
    )
