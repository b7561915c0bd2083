"""The loop that every strategy shares: propose, keep what is new and fits, score, remember."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Protocol

from services.search.ports import Costs, Failure
from services.search.space.architecture import Architecture

MAX_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Quality:
    """How well a network does on the validation data.

    Networks are ranked by `loss`: over a few hundred images accuracy takes few values and ties hide what is better.
    """

    accuracy: float
    loss: float


@dataclass(frozen=True, slots=True)
class Scored:
    """An architecture with its predicted costs and its quality as a part of the supernet."""

    architecture: Architecture
    costs: Costs
    quality: Quality

    def objectives(self) -> tuple[float, ...]:
        """Loss, latency (MACs where the target tells no latency) and memory: all to be small."""
        latency = self.costs.macs if self.costs.latency_us is None else self.costs.latency_us
        return self.quality.loss, float(latency), float(self.costs.sram.total)


class Strategy(Protocol):
    """Where to look next."""

    def propose(self, history: Sequence[Scored], random: Random) -> Iterator[Architecture]:
        """Yield architectures without end, given all that is known; known ones may come again."""
        ...


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the loop knows of the world: costs of a batch, whether they fit, qualities of a batch."""

    costs: Callable[[Sequence[Architecture]], Sequence[Costs | Failure]]
    fits: Callable[[Costs | Failure], bool]
    qualities: Callable[[Sequence[Architecture]], Sequence[Quality]]


def explore(
    strategy: Strategy, evaluation: Evaluation, history: Sequence[Scored], count: int, random: Random
) -> tuple[Scored, ...]:
    """Return up to `count` newly scored architectures that fit: one generation.

    Fewer come back where 20 rounds of proposals hold no more new ones that fit.
    """
    seen = {s.architecture for s in history}
    admitted: list[tuple[Architecture, Costs]] = []
    proposals = strategy.propose(history, random)
    for _ in range(MAX_ROUNDS):
        missing = count - len(admitted)
        if missing <= 0:
            break
        # Twice as many as needed: some do not fit, and one call of many is cheaper than many calls.
        fresh = [a for a in dict.fromkeys(islice(proposals, 2 * missing)) if a not in seen]
        seen.update(fresh)
        answers = evaluation.costs(fresh) if fresh else ()
        admitted += [(a, c) for a, c in zip(fresh, answers, strict=True) if isinstance(c, Costs) and evaluation.fits(c)]
    qualities = evaluation.qualities([a for a, _ in admitted[:count]])
    return tuple(Scored(a, c, q) for (a, c), q in zip(admitted[:count], qualities, strict=True))
