"""One point of a search space: a frozen value that can be hashed, printed and written as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass

from services.common.errors import InvalidArgumentError


@dataclass(frozen=True, slots=True)
class Block:
    """An inverted bottleneck: depthwise kernel size and expansion ratio of its hidden channels."""

    kernel: int
    expansion: int


@dataclass(frozen=True, slots=True)
class Stage:
    """Blocks of one spatial size; `width` scales the stage's output channels, their number is its depth."""

    width: float
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Architecture:
    """A choice of input resolution and of every stage."""

    resolution: int
    stages: tuple[Stage, ...]

    def __str__(self) -> str:
        """Return one line, for instance `r28 | w1 k3e2 k5e3 | w0.75 k7e4`."""
        stages = (f"w{s.width:g} " + " ".join(f"k{b.kernel}e{b.expansion}" for b in s.blocks) for s in self.stages)
        return " | ".join((f"r{self.resolution}", *stages))


def to_json(architecture: Architecture) -> str:
    """Return the architecture as JSON with sorted keys: equal architectures give equal text."""
    stages = [
        {"width": s.width, "blocks": [{"kernel": b.kernel, "expansion": b.expansion} for b in s.blocks]}
        for s in architecture.stages
    ]
    return json.dumps({"resolution": architecture.resolution, "stages": stages}, sort_keys=True)


def from_json(text: str) -> Architecture:
    """Return the architecture that `to_json` wrote.

    Raises InvalidArgumentError where the text is not such an architecture.
    """
    try:
        record = json.loads(text)
        stages = tuple(
            Stage(float(s["width"]), tuple(Block(int(b["kernel"]), int(b["expansion"])) for b in s["blocks"]))
            for s in record["stages"]
        )
        return Architecture(int(record["resolution"]), stages)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"not an architecture: {error!r} in {text[:80]!r}; it needs resolution and stages of width and blocks",
            reason="ARCHITECTURE",
            subject="architecture",
            value=text[:80],
        ) from error
