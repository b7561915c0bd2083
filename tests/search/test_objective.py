import pytest

from services.common.errors import FailedPreconditionError, InvalidArgumentError
from services.search.objective import Budgets, excesses, fits, require_feasible
from services.search.ports import Costs, Failure, Flash, Sram

COSTS = Costs(Sram(784, 4000, scratch=16, static=100, stack=100), Flash(6000, 3000, 1000), 10**6, 2e5, 300.0)


@pytest.mark.parametrize("name", ["sram_bytes", "flash_bytes", "latency_us", "energy_uj", "accuracy"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_budgets_must_be_positive_and_finite(name: str, value: float) -> None:
    with pytest.raises(InvalidArgumentError, match=f"budget {name} is {value}"):
        Budgets(**{name: value})


def test_accuracy_is_at_most_one() -> None:
    with pytest.raises(InvalidArgumentError, match="accuracy is 97"):
        Budgets(accuracy=97)


@pytest.mark.parametrize(
    ("budgets", "broken"),
    [
        (Budgets(), []),
        (Budgets(sram_bytes=5000, flash_bytes=10_000, latency_us=2e5, energy_uj=300), []),
        (Budgets(sram_bytes=4999), ["sram_bytes 5000 (limit 4999)"]),
        (
            Budgets(flash_bytes=9999, latency_us=1e5),
            ["flash_bytes 10000 (limit 9999)", "latency_us 200000 (limit 100000)"],
        ),
        (Budgets(energy_uj=299.5), ["energy_uj 300 (limit 299.5)"]),
    ],
)
def test_broken_limits_are_told_with_value_and_limit(budgets: Budgets, broken: list[str]) -> None:
    assert [str(e) for e in excesses(COSTS, budgets)] == broken
    assert fits(COSTS, budgets) == (not broken)


def test_a_limit_on_what_the_target_cannot_tell_is_broken() -> None:
    unknown = Costs(Sram(0, 1), Flash(1, 1), 1)
    assert [e.budget for e in excesses(unknown, Budgets(latency_us=1, energy_uj=1))] == ["latency_us", "energy_uj"]


def test_a_network_that_misfits_the_chip_or_has_no_estimate_does_not_fit() -> None:
    assert not fits(Failure("no kernel"), Budgets())
    assert not fits(Costs(Sram(0, 1), Flash(1, 1), 1, misfits=("flash: needs 9, has 8",)), Budgets())


def test_impossible_budgets_name_what_the_smallest_network_needs() -> None:
    require_feasible(COSTS, Budgets(sram_bytes=5000))
    with pytest.raises(FailedPreconditionError, match=r"the smallest needs sram_bytes 5000 \(limit 1024\)"):
        require_feasible(COSTS, Budgets(sram_bytes=1024))
    with pytest.raises(FailedPreconditionError, match="cannot be estimated: no kernel"):
        require_feasible(Failure("no kernel"), Budgets())
