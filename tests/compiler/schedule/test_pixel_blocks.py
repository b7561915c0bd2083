"""Blocks of pixels of a convolution."""

from __future__ import annotations

import pytest

from services.compiler.schedule.pixel_blocks import PixelBlocks


@pytest.mark.parametrize("length", (1, 2, 3, 17, 144, 1153))
def test_there_is_a_block_for_every_number_that_a_run_can_be_cut_into(length: int) -> None:
    pairs = -(-length // 2)
    blocks = PixelBlocks(1, length, 16, 8, windows=False).blocks()
    expected = {-(-pairs // -(-pairs // n)) for n in range(1, pairs + 1)}
    plain = [block.pairs for block in blocks if not block.staged]
    assert len(plain) == len(expected)
    assert set(plain) == expected
