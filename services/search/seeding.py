"""Seeds for the parts of a search, derived from its one seed.

Every epoch, generation and finalist has a generator of its own, so that nothing random needs to be saved: a
search that resumes draws what the uninterrupted one would have drawn.
"""

from __future__ import annotations

import hashlib
from random import Random

import torch


def seed_for(seed: int, *part: str | int) -> int:
    """Return the seed of a named part, 63 bits."""
    digest = hashlib.sha256(repr((seed, *part)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def random_for(seed: int, *part: str | int) -> Random:
    """Return the Python generator of a named part."""
    return Random(seed_for(seed, *part))


def generator_for(seed: int, *part: str | int) -> torch.Generator:
    """Return the torch generator of a named part."""
    return torch.Generator().manual_seed(seed_for(seed, *part))
