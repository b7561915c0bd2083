"""What a simulator counted between the call of invoke and its return."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_SECONDS = struct.Struct("<d")
_RECORD = struct.Struct("<IIIIQQ")


@dataclass(frozen=True, slots=True)
class BlockCount:
    """One basic block in one layer: how often it ran, and how often the next block was not the one behind it.

    `layer` is 0 for invoke's own body and n + 1 for the manifest's layer n.
    """

    layer: int
    address: int
    size_bytes: int
    count: int
    taken: int


@dataclass(frozen=True, slots=True)
class Profile:
    """All blocks of one invoke; `seconds` is the CPU time that simulating them took."""

    seconds: float
    blocks: tuple[BlockCount, ...]


def parse_profile(body: bytes) -> Profile:
    """Read the engine's record of counts."""
    (seconds,) = _SECONDS.unpack_from(body)
    records = _RECORD.iter_unpack(body[_SECONDS.size :])
    return Profile(
        seconds,
        tuple(BlockCount(layer, address, size, count, taken) for layer, address, size, _, count, taken in records),
    )
