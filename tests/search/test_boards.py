"""The board of a search, asked for at its submission."""

from __future__ import annotations

import asyncio

import grpc.aio
import pytest

from services.common.errors import UnavailableError
from services.search.server import require_board

NOBODY = "127.0.0.1:1"


def test_evaluator_that_does_not_answer_is_named() -> None:
    async def ask() -> None:
        async with grpc.aio.insecure_channel(NOBODY) as channel:
            await require_board(channel, NOBODY, "nano33ble")

    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1 does not answer"):
        asyncio.run(ask())
