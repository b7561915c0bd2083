"""A board without a core: the firmware's side of the protocol in Python, with faults to order."""

from __future__ import annotations

import struct
import zlib
from types import TracebackType
from typing import Self

import numpy as np

from services.evaluator.boards.board import Region, Run, Write, exchange
from services.evaluator.errors import BoardError, EndlessLoopFault
from services.evaluator.image import Image
from services.evaluator.protocol import Frame, FrameType, Line, PulledInput, Session, Status, pack_frame
from tests.evaluator.c_library import Recipe, expected

_HEADER = struct.Struct("<IBBHII")
STACK_BYTES = 128


class FakeBoard:
    """Behaves as the firmware of `recipe` would; `break_crc` spoils that many requests on the way."""

    def __init__(self, recipe: Recipe, break_crc: int = 0) -> None:
        self._recipe = recipe
        self._break_crc = break_crc
        self._answers = bytearray()
        self._flashed = False
        self.requests = 0

    def flash(self, image: Image) -> None:
        self._flashed = True
        self.reset()

    def reset(self) -> None:
        if not self._flashed:
            raise BoardError("the board was never flashed", subject="board")
        self._arena = bytearray(self._recipe.arena)
        self._faulted = False
        self._answers.clear()
        self._session = Session(Line(self._write, self._read))

    def run(
        self,
        writes: tuple[Write, ...],
        reads: tuple[Region, ...],
        budget_instructions: int,
        pulled: PulledInput | None = None,
    ) -> Run:
        if not self._flashed:
            raise BoardError("the board was never flashed", subject="board")
        outputs, counter, stack = exchange(self._session, writes, reads, pulled)
        return Run(outputs, counter, stack, None)

    def close(self) -> None:
        self._flashed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, size: int) -> bytes:
        if self._faulted and len(self._answers) < size:
            raise BoardError("the board is silent", subject="board")
        data = bytes(self._answers[:size])
        del self._answers[:size]
        return data

    def _write(self, data: bytes) -> None:
        self.requests += 1
        _, kind, sequence, _, argument, length = _HEADER.unpack_from(data)
        payload = data[_HEADER.size : _HEADER.size + length]
        sent = struct.unpack("<I", data[-4:])[0]
        request = Frame(FrameType(kind), sequence, Status.OK, argument, payload)
        if self._break_crc:
            self._break_crc -= 1
            self._answer(request, Status.BAD_CRC, b"")
        elif sent != zlib.crc32(data[:-4]):
            raise AssertionError("the host sent a wrong CRC")
        else:
            self._serve(request)

    def _answer(self, request: Frame, status: Status, payload: bytes) -> None:
        self._answers += pack_frame(Frame(request.type, request.sequence, status, request.argument, payload))

    def _serve(self, request: Frame) -> None:
        match request.type:
            case FrameType.WRITE if request.argument + len(request.payload) <= len(self._arena):
                self._arena[request.argument : request.argument + len(request.payload)] = request.payload
                self._answer(request, Status.OK, b"")
            case FrameType.READ if request.argument + struct.unpack("<I", request.payload)[0] <= len(self._arena):
                size = struct.unpack("<I", request.payload)[0]
                self._answer(request, Status.OK, bytes(self._arena[request.argument : request.argument + size]))
            case FrameType.WRITE | FrameType.READ:
                self._answer(request, Status.BAD_RANGE, b"")
            case FrameType.INVOKE if self._recipe.pulled:
                self._invoked = request
                self._ask_for_rows(0)
            case FrameType.INVOKE:
                self._invoke(request)
            case FrameType.ROWS:
                first = 8 * request.argument
                self._arena[first : first + len(request.payload)] = request.payload
                self._ask_for_rows(request.argument + 2)
            case _:
                self._answer(request, Status.OK, struct.pack("<III", 1, len(self._arena), 4096))

    def _ask_for_rows(self, row: int) -> None:
        """Ask for two of the eight rows of the input, or run when all are there."""
        if row == 8:
            self._invoke(self._invoked)
        else:
            frame = Frame(FrameType.ROWS, self._invoked.sequence, Status.OK, row, struct.pack("<I", 2))
            self._answers += pack_frame(frame)

    def _invoke(self, request: Frame) -> None:
        if self._recipe.body == "endless":
            raise EndlessLoopFault("the instruction budget is used up", subject="invoke")
        if self._recipe.body != "good":
            self._faulted = True
            registers = struct.pack("<8I", 0, 0, 0, 0, 0, 0, 0x08000101, 1 << 24)
            self._answers += pack_frame(Frame(FrameType.FAULT, 0, Status.OK, 3, registers))
            return
        x = np.frombuffer(bytes(self._arena[:64]), np.int8)
        self._arena[64:74] = expected(x).tobytes()
        status = Status.OK if self._recipe.returns == 0 else Status.INVOKE_FAILED
        self._answer(request, status, struct.pack("<iII", self._recipe.returns, 0, STACK_BYTES))
