from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from services.common.errors import CanceledError, FailedPreconditionError
from services.search.context import PHASES, Progress, SearchSettings
from services.search.data.dataset import Dataset
from services.search.objective import Budgets
from services.search.ports import Candidate, Failure, Measurement
from services.search.run import SearchResult, run_search
from tests.search.in_process import LiveRangeEstimator, OnnxRuntimeFarm


@dataclass
class Memory:
    """Checkpoints in a dictionary, which can stop the search at the n-th save as a crash would."""

    crash_at: int = 0
    saved: dict[str, bytes] = field(default_factory=dict)
    saves: int = 0

    def load(self, name: str) -> bytes | None:
        return self.saved.get(name)

    def save(self, name: str, content: bytes) -> None:
        self.saves += 1
        self.saved[name] = content
        if self.saves == self.crash_at:
            raise KeyboardInterrupt


def search(settings: SearchSettings, dataset: Dataset, checkpoints: Memory, **ports: object) -> SearchResult:
    defaults: dict[str, object] = {"estimator": LiveRangeEstimator(), "farm": OnnxRuntimeFarm()}
    return run_search(settings, dataset, checkpoints=checkpoints, **(defaults | ports))


def same_result(one: SearchResult, other: SearchResult) -> bool:
    return replace(one, seconds=()) == replace(other, seconds=())


@pytest.fixture(scope="module")
def finished() -> dict[str, tuple[SearchResult, int]]:
    """The result of the uninterrupted search and its number of saves, computed once."""
    return {}


@pytest.fixture
def uninterrupted(
    finished: dict[str, tuple[SearchResult, int]], settings: SearchSettings, dataset: Dataset
) -> tuple[SearchResult, int]:
    if "result" not in finished:
        checkpoints = Memory()
        finished["result"] = (search(settings, dataset, checkpoints), checkpoints.saves)
    return finished["result"]


def test_search_measures_networks_within_the_limits(uninterrupted: tuple[SearchResult, int]) -> None:
    result, _ = uninterrupted
    assert [p.trained.name for p in result.points] == ["net-1", "net-2"]
    assert [p.trained.name for p in result.baselines] == ["ds-cnn", "mobilenet-v2"]
    assert result.winner in {p.trained.name for p in result.points if p.on_front}
    assert result.networks_scored == 8 and result.networks_estimated > 50
    for point in (*result.points, *result.baselines):
        assert isinstance(point.measured, Measurement) and point.within_budgets
        assert point.measured.costs.sram.total <= 4 << 10
        assert point.measured.costs.sram.arena == point.trained.predicted.sram.arena
        assert point.measured.costs.macs == point.trained.predicted.macs


def test_the_same_seed_gives_the_same_result_to_the_byte(
    uninterrupted: tuple[SearchResult, int], settings: SearchSettings, dataset: Dataset
) -> None:
    assert same_result(search(settings, dataset, Memory()), uninterrupted[0])


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75, 0.999])
def test_search_resumed_after_a_crash_equals_the_uninterrupted_one(
    uninterrupted: tuple[SearchResult, int], settings: SearchSettings, dataset: Dataset, share: float
) -> None:
    result, saves = uninterrupted
    checkpoints = Memory(crash_at=1 + int(share * saves))
    with pytest.raises(KeyboardInterrupt):
        search(settings, dataset, checkpoints)
    farm = OnnxRuntimeFarm()
    assert same_result(search(settings, dataset, checkpoints, farm=farm), result)
    assert ("probe",) not in farm.calls


def test_checkpoints_of_another_search_are_refused(
    uninterrupted: tuple[SearchResult, int], settings: SearchSettings, dataset: Dataset
) -> None:
    checkpoints = Memory(crash_at=1)
    with pytest.raises(KeyboardInterrupt):
        search(settings, dataset, checkpoints)
    with pytest.raises(FailedPreconditionError, match="'space' is of a search with other settings"):
        search(replace(settings, seed=1), dataset, checkpoints)


def test_progress_grows_to_the_end_and_names_every_phase(settings: SearchSettings, dataset: Dataset) -> None:
    seen: list[Progress] = []
    search(settings, dataset, Memory(), on_progress=seen.append)
    assert list(dict.fromkeys(p.phase for p in seen)) == list(PHASES)
    fractions = [p.fraction for p in seen]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == pytest.approx(1)


def test_cancel_ends_the_search_at_the_next_step(settings: SearchSettings, dataset: Dataset) -> None:
    seen: list[Progress] = []
    with pytest.raises(CanceledError, match="cancelled in phase supernet"):
        search(
            settings,
            dataset,
            Memory(),
            on_progress=seen.append,
            is_canceled=lambda: bool(seen) and seen[-1].phase == "supernet",
        )
    assert sum(p.phase == "supernet" for p in seen) == 1


def test_impossible_budget_fails_before_training(settings: SearchSettings, dataset: Dataset) -> None:
    checkpoints = Memory()
    with pytest.raises(FailedPreconditionError, match=r"the smallest needs sram_bytes \d+ \(limit 100\)"):
        search(replace(settings, budgets=Budgets(sram_bytes=100)), dataset, checkpoints)
    assert checkpoints.saves == 0


@dataclass(frozen=True)
class BrokenFarm:
    """Fails for the networks of the given names, and asks the real one for the others."""

    broken: frozenset[str]

    def measure(
        self, candidates: Sequence[Candidate], on_done: Callable[[int], None]
    ) -> Sequence[Measurement | Failure]:
        answers = OnnxRuntimeFarm().measure(candidates, on_done)
        return [Failure("board lost") if c.name in self.broken else a for c, a in zip(candidates, answers, strict=True)]


def test_farm_that_cannot_measure_fails_before_training(settings: SearchSettings, dataset: Dataset) -> None:
    with pytest.raises(FailedPreconditionError, match=r"board cannot measure the smallest network.*board lost"):
        search(settings, dataset, Memory(), farm=BrokenFarm(frozenset({"probe"})))


def test_finalist_that_cannot_be_measured_is_kept_with_the_reason(
    uninterrupted: tuple[SearchResult, int], settings: SearchSettings, dataset: Dataset
) -> None:
    name = uninterrupted[0].winner
    result = search(settings, dataset, Memory(), farm=BrokenFarm(frozenset({name})))
    lost = next(p for p in result.points if p.trained.name == name)
    assert lost.measured == Failure("board lost") and not lost.on_front
    assert result.winner not in ("", name)


def test_stack_that_the_estimate_cannot_know_is_kept_free(
    uninterrupted: tuple[SearchResult, int], settings: SearchSettings, dataset: Dataset
) -> None:
    arena = max(p.trained.predicted.sram.arena for p in uninterrupted[0].points)
    budgets = Budgets(sram_bytes=arena + 600)
    result = search(replace(settings, budgets=budgets), dataset, Memory(), farm=OnnxRuntimeFarm(stack_bytes=1200))
    assert all(p.within_budgets for p in (*result.points, *result.baselines))
