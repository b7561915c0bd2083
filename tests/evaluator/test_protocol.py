"""Frames: CRC, retries, and answers that are not what was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from services.common.targets import load_target
from services.evaluator.boards.board import Region, Write
from services.evaluator.errors import BoardError
from services.evaluator.image import Image, ImageSizes, Symbol
from services.evaluator.protocol import Frame, FrameType, Line, Session, Status, pack_frame, read_frame
from tests.evaluator.c_library import Recipe, expected
from tests.evaluator.fake_board import FakeBoard

NO_IMAGE = Image(b"", load_target("rp2040"), (), 0, Symbol(0, 0), (), ImageSizes(0, 0, 0, 0, 0, 0, 0))
FRAME = Frame(FrameType.WRITE, 7, Status.OK, 0x1234, b"payload")


def line_of(data: bytes) -> Line:
    rest = bytearray(data)

    def read(size: int) -> bytes:
        if size > len(rest):
            raise BoardError("the line is silent", subject="line")
        taken = bytes(rest[:size])
        del rest[:size]
        return taken

    return Line(lambda _: None, read)


def test_frame_has_the_documented_bytes() -> None:
    assert pack_frame(Frame(FrameType.READ, 5, Status.OK, 0x40, b"\x0a\0\0\0")).hex() == (
        "54465231" "04" "05" "0000" "40000000" "04000000" "0a000000" "81105e57"
    )  # fmt: skip


def test_frame_survives_packing() -> None:
    assert read_frame(line_of(pack_frame(FRAME))) == FRAME


@pytest.mark.parametrize("position", range(len(pack_frame(FRAME))))
def test_any_spoiled_byte_is_noticed(position: int) -> None:
    data = bytearray(pack_frame(FRAME))
    data[position] ^= 0x10
    with pytest.raises(BoardError):
        read_frame(line_of(bytes(data) + bytes(64)))


def test_spoiled_request_is_sent_again() -> None:
    board = FakeBoard(Recipe(), break_crc=2)
    board.flash(NO_IMAGE)
    x = np.arange(64, dtype=np.int8)
    run = board.run((Write(0, x.tobytes()),), (Region(64, 10),), 0)
    assert run.outputs == (expected(x).tobytes(),)
    assert board.requests == 2 + 3


def test_line_that_spoils_everything_is_given_up() -> None:
    board = FakeBoard(Recipe(), break_crc=99)
    board.flash(NO_IMAGE)
    with pytest.raises(BoardError, match="wrong CRC 3 times"):
        board.run((Write(0, bytes(64)),), (), 0)


def test_answer_to_another_request_is_an_error() -> None:
    late = pack_frame(Frame(FrameType.INFO, 77, Status.OK, 0, bytes(12)))
    with pytest.raises(BoardError, match="answered INFO"):
        Session(line_of(late)).info()
