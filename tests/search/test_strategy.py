from collections.abc import Sequence
from random import Random

import pytest

from services.common.errors import FailedPreconditionError, InvalidArgumentError
from services.search.ports import Costs, Failure, Flash, Sram
from services.search.space.architecture import Architecture
from services.search.space.image import ImageSpace, SpaceChoices, image_spaces
from services.search.space.plan import plan_of
from services.search.strategy.evolution import Evolution, EvolutionSettings, RandomSearch, select_finalists
from services.search.strategy.explore import Evaluation, Quality, Scored, Strategy, explore
from services.search.strategy.optimize_space import choose_space, score_spaces
from services.search.strategy.pareto import dominates, pareto_front, pareto_order

SPACE, _ = image_spaces((28, 28, 1), 10, SpaceChoices(width_multipliers=(1.0,)))[-2:]


def parameters(space: ImageSpace, architecture: Architecture) -> int:
    return sum(
        c.out_channels * c.kernel**2 * (1 if c.depthwise else c.in_channels)
        for c in plan_of(space, architecture).convs()
    )


def costs_of(architectures: Sequence[Architecture]) -> list[Costs | Failure]:
    return [Costs(Sram(0, 10), Flash(0, parameters(SPACE, a)), macs=parameters(SPACE, a)) for a in architectures]


def distance(architecture: Architecture) -> float:
    """0 at one architecture alone: every block k5, the second expansion, depth 2, width 0.75, smallest resolution."""
    total = float(architecture.resolution != SPACE.resolutions[0])
    for options, stage in zip(SPACE.stages, architecture.stages, strict=True):
        total += (stage.width != 0.75) + (len(stage.blocks) != 2)
        total += sum((b.kernel != 5) + (b.expansion != options.expansions[1]) for b in stage.blocks) / len(stage.blocks)
    return total


EVALUATION = Evaluation(
    costs_of, lambda c: isinstance(c, Costs), lambda asked: [Quality(0.9, distance(a)) for a in asked]
)


def history_of(strategy: Strategy, generations: int, count: int, seed: int) -> list[Scored]:
    history: list[Scored] = []
    for generation in range(generations):
        history += explore(strategy, EVALUATION, history, count, Random(seed * 1000 + generation))
    return history


def test_evolution_finds_the_optimum_that_random_search_misses() -> None:
    evolution = Evolution(SPACE, EvolutionSettings(parents=20, mutation_probability=0.1))
    found = history_of(evolution, 20, 30, seed=1)
    blind = history_of(RandomSearch(SPACE), 20, 30, seed=1)
    assert min(s.quality.loss for s in found) == 0
    assert min(s.quality.loss for s in blind) > 0


def test_the_same_seed_tries_the_same_architectures() -> None:
    evolution = Evolution(SPACE, EvolutionSettings())
    one, other = (history_of(evolution, 3, 10, seed=4) for _ in range(2))
    assert [s.architecture for s in one] == [s.architecture for s in other]
    assert [s.architecture for s in one] != [s.architecture for s in history_of(evolution, 3, 10, seed=5)]


def test_some_children_lose_kernels_in_their_first_stages_where_patches_are_possible() -> None:
    parents = history_of(RandomSearch(SPACE), 1, 4, seed=3)
    proposals = Evolution(SPACE, EvolutionSettings(redistribution_probability=1.0)).propose(parents, Random(0))
    children = [next(proposals) for _ in range(20)]
    assert all(b.kernel == 3 for child in children for b in child.stages[0].blocks)
    assert all(SPACE.contains(child) for child in children)
    assert any(b.kernel > 3 for child in children for b in child.stages[-1].blocks)


def test_nothing_is_tried_twice_and_only_what_fits() -> None:
    limit = parameters(SPACE, SPACE.largest()) // 3
    evaluation = Evaluation(costs_of, lambda c: isinstance(c, Costs) and c.macs <= limit, EVALUATION.qualities)
    history: list[Scored] = []
    for generation in range(5):
        history += explore(Evolution(SPACE, EvolutionSettings()), evaluation, history, 8, Random(generation))
    assert len(history) == len({s.architecture for s in history}) == 40
    assert all(s.costs.macs <= limit for s in history)


def test_networks_without_an_estimate_are_left_out_and_the_loop_ends() -> None:
    evaluation = Evaluation(
        lambda asked: [Failure("no kernel")] * len(asked), lambda c: isinstance(c, Costs), EVALUATION.qualities
    )
    assert explore(RandomSearch(SPACE), evaluation, (), 8, Random(0)) == ()


def test_front_holds_what_nothing_dominates() -> None:
    points = [(1.0, 5.0), (2.0, 2.0), (3.0, 3.0), (5.0, 1.0), (2.0, 2.0)]
    assert pareto_front(points) == (0, 1, 3, 4)
    assert dominates((1, 1), (1, 2)) and not dominates((1, 1), (1, 1)) and not dominates((0, 2), (1, 1))
    assert pareto_order(points)[-1] == 2 and sorted(pareto_order(points)) == [0, 1, 2, 3, 4]


def test_ends_of_a_front_come_before_its_middle() -> None:
    points = [(0.0, 10.0), (4.9, 5.1), (5.0, 5.0), (5.1, 4.9), (10.0, 0.0)]
    assert set(pareto_order(points)[:2]) == {0, 4}


def scored(loss: float, macs: int, accuracy: float) -> Scored:
    architecture = Architecture(macs, ())
    return Scored(architecture, Costs(Sram(0, 1), Flash(0, 0), macs), Quality(accuracy, loss))


def test_finalists_are_the_two_best_then_the_most_different_useful_ones() -> None:
    history = [
        scored(0.30, 100, 0.90),
        scored(0.31, 98, 0.90),
        scored(0.33, 90, 0.89),
        scored(0.36, 20, 0.87),
        scored(0.90, 1, 0.50),
    ]
    assert [s.costs.macs for s in select_finalists(history, 3)] == [100, 98, 20]
    assert [s.costs.macs for s in select_finalists(history, 4)] == [100, 98, 20, 90]
    assert select_finalists([], 4) == ()


def test_space_with_the_most_work_in_the_same_memory_is_chosen() -> None:
    spaces = image_spaces((28, 28, 1), 10, SpaceChoices())

    def costs(asked: Sequence[tuple[ImageSpace, Architecture]]) -> list[Costs | Failure]:
        return [Costs(Sram(0, 0), Flash(0, 0), macs=parameters(s, a)) for s, a in asked]

    def fits_below(limit: int):
        return lambda c: isinstance(c, Costs) and c.macs <= limit

    everything = score_spaces(spaces, costs, fits_below(10**9), 10, Random(0))
    assert choose_space(everything).width_multiplier == 1.5
    tight = score_spaces(spaces, costs, fits_below(8000), 10, Random(0))
    assert choose_space(tight).width_multiplier < 1.0
    with pytest.raises(FailedPreconditionError, match="none of the sampled networks"):
        choose_space(score_spaces(spaces, costs, fits_below(1), 10, Random(0)))


@pytest.mark.parametrize("field", ["population", "iterations", "parents", "mutation_probability"])
def test_settings_of_evolution_are_checked(field: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{field} is 0"):
        EvolutionSettings(**{field: 0})
