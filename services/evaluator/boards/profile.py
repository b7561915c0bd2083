"""What a simulator counted between the call of invoke and its return."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_HEAD = struct.Struct("<dI")
_MISSES = struct.Struct("<QQ")
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
class Misses:
    """Misses of the flash's caches in one layer; zero where the caches were not modelled."""

    instruction: int
    data: int


@dataclass(frozen=True, slots=True)
class Profile:
    """All blocks of one invoke, and misses by layer; `seconds` is the CPU time that simulating them took."""

    seconds: float
    misses: tuple[Misses, ...]
    blocks: tuple[BlockCount, ...]


def parse_profile(body: bytes) -> Profile:
    """Read the engine's record of counts."""
    seconds, layers = _HEAD.unpack_from(body)
    end = _HEAD.size + layers * _MISSES.size
    misses = tuple(Misses(*pair) for pair in _MISSES.iter_unpack(body[_HEAD.size : end]))
    records = _RECORD.iter_unpack(body[end:])
    return Profile(
        seconds,
        misses,
        tuple(BlockCount(layer, address, size, count, taken) for layer, address, size, _, count, taken in records),
    )
