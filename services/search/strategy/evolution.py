"""Evolutionary search: parents are the best of all that was tried, children are crossed or mutated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from services.common.errors import InvalidArgumentError
from services.search.space.architecture import Architecture
from services.search.space.image import ImageSpace
from services.search.space.redistribute import redistribute_architecture
from services.search.space.sample import cross, mutate, sample
from services.search.strategy.explore import Scored
from services.search.strategy.pareto import pareto_order


@dataclass(frozen=True, slots=True)
class EvolutionSettings:
    """`population` networks are scored in each of `iterations` generations, of which the first is random."""

    population: int = 16
    iterations: int = 6
    parents: int = 10
    mutation_probability: float = 0.2
    # Of children whose receptive field is redistributed: of use where the first stages may run patch by patch.
    redistribution_probability: float = 0.0

    def __post_init__(self) -> None:
        for name in ("population", "iterations", "parents"):
            if not 1 <= getattr(self, name) <= 10_000:
                raise _bad(name, getattr(self, name), "1 to 10000")
        if not 0 < self.mutation_probability <= 1:
            raise _bad("mutation_probability", self.mutation_probability, "above 0, at most 1")
        if not 0 <= self.redistribution_probability <= 1:
            raise _bad("redistribution_probability", self.redistribution_probability, "0 to 1")


@dataclass(frozen=True, slots=True)
class Evolution:
    """Half of the parents are the most accurate networks, half are spread over the Pareto front.

    Limits alone would drive every child to the largest network that fits; the front keeps cheaper ones in play.
    Rates follow MCUNetV2 (NeurIPS 2021): as many crossovers as mutations.
    """

    space: ImageSpace
    settings: EvolutionSettings

    def propose(self, history: Sequence[Scored], random: Random) -> Iterator[Architecture]:
        """Yield random architectures while nothing is known, then children."""
        if len(history) < 2:
            yield from RandomSearch(self.space).propose(history, random)
        parents = select_parents(history, self.settings.parents)
        redistributed = self.settings.redistribution_probability if len(self.space.stages) > 1 else 0.0
        while True:
            if redistributed and random.random() < redistributed:
                patch_stages = random.randrange(1, len(self.space.stages))
                yield redistribute_architecture(self.space, random.choice(parents), patch_stages)
            elif random.random() < 0.5:
                yield mutate(self.space, random.choice(parents), self.settings.mutation_probability, random)
            else:
                yield cross(random.choice(parents), random.choice(parents), random)


@dataclass(frozen=True, slots=True)
class RandomSearch:
    """Uniform sampling: what every other strategy has to beat."""

    space: ImageSpace

    def propose(self, history: Sequence[Scored], random: Random) -> Iterator[Architecture]:
        """Yield random architectures."""
        while True:
            yield sample(self.space, random)


def select_parents(history: Sequence[Scored], count: int) -> tuple[Architecture, ...]:
    """Return the better half by quality alone, filled up in Pareto order."""
    by_quality = sorted(history, key=lambda s: s.quality.loss)[: (count + 1) // 2]
    spread = [history[i] for i in pareto_order([s.objectives() for s in history], 2 * count)]
    return tuple(dict.fromkeys(s.architecture for s in (*by_quality, *spread)))[:count]


def select_finalists(history: Sequence[Scored], count: int) -> tuple[Scored, ...]:
    """Return the networks to fine-tune: the two best by quality, then the widest spread over latency.

    Only networks of the Pareto front within 5 points of the best accuracy are spread over: what is far less
    accurate is of no use however small it is.
    """
    best = sorted(history, key=lambda s: s.quality.loss)[: min(2, count)]
    if not best:
        return ()
    useful = max(s.quality.accuracy for s in history) - 0.05
    front = [history[i] for i in pareto_order([s.objectives() for s in history])]
    rest = [s for s in front if s not in best and s.quality.accuracy >= useful]
    chosen = list(best)
    while rest and len(chosen) < count:
        latencies = [s.objectives()[1] for s in chosen]
        farthest = max(rest, key=lambda s: min(abs(s.objectives()[1] / other - 1) for other in latencies))
        chosen.append(farthest)
        rest.remove(farthest)
    return tuple(chosen)


def _bad(name: str, value: float, allowed: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{name} is {value}: must be {allowed}", reason="EVOLUTION", subject=name, value=value, allowed=allowed
    )
