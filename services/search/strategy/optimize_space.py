"""Stage 1 of TinyNAS: choose the space, then search in it.

Of the candidate spaces (resolution x width multiplier) the one is kept whose networks that fit the limits do
the most work on average: more operations in the same memory mean more capacity (MCUNet, NeurIPS 2020, 3.1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean

from services.common.errors import FailedPreconditionError
from services.search.ports import Costs, Failure
from services.search.space.architecture import Architecture
from services.search.space.image import ImageSpace
from services.search.space.sample import sample

# Below this share of fitting networks a search spends itself on proposals that do not fit.
MIN_FIT_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class SpaceScore:
    """What the samples of a space say: share that fits and mean MACs of those."""

    space: ImageSpace
    fit_share: float
    mean_macs: float


def score_spaces(
    spaces: Sequence[ImageSpace],
    costs: Callable[[Sequence[tuple[ImageSpace, Architecture]]], Sequence[Costs | Failure]],
    fits: Callable[[Costs | Failure], bool],
    samples: int,
    random: Random,
) -> tuple[SpaceScore, ...]:
    """Return the score of each space from `samples` random networks of it, asked for in one batch."""
    asked = [(space, sample(space, random)) for space in spaces for _ in range(samples)]
    answers = costs(asked)
    scores = []
    for i, space in enumerate(spaces):
        fitting = [c for c in answers[i * samples : (i + 1) * samples] if isinstance(c, Costs) and fits(c)]
        scores.append(SpaceScore(space, len(fitting) / samples, fmean(c.macs for c in fitting) if fitting else 0.0))
    return tuple(scores)


def choose_space(scores: Sequence[SpaceScore]) -> ImageSpace:
    """Return the space with the highest mean MACs among those of which a fair share fits, else the best-fitting one.

    Raises FailedPreconditionError where no sample of any space fits.
    """
    if fair := [s for s in scores if s.fit_share >= MIN_FIT_SHARE]:
        return max(fair, key=lambda s: s.mean_macs).space
    best = max(scores, key=lambda s: s.fit_share)
    if best.fit_share == 0:
        raise FailedPreconditionError(
            "none of the sampled networks of any space fits the budgets, though the smallest one would: raise a limit",
            reason="TIGHT_BUDGET",
            subject="budgets",
        )
    return best.space
