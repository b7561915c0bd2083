"""How figures read: units of budgets, words for what is known of a figure."""

from __future__ import annotations

import pytest

from tinyfarm.cli.check import _in_unit
from tinyfarm.cli.figures import board_of, describe, label
from tinyfarm.v1 import evaluation_pb2, metric_pb2

MODELLED = metric_pb2.PROVENANCE_MODELLED


@pytest.mark.parametrize(
    ("budget", "value", "text"),
    [
        ("max_sram", 20480, "20,480 B"),
        ("max_flash", 65536, "65,536 B"),
        ("max_latency", 40947.85, "40.948 ms"),
        ("max_energy", 1621.46, "1,621.5 µJ"),
        ("min_accuracy", 0.901, "90.10%"),
    ],
)
def test_budgets_are_told_in_the_units_of_their_options(budget: str, value: float, text: str) -> None:
    assert _in_unit(budget, value) == text


def test_modelled_figure_tells_its_band_or_that_it_has_none() -> None:
    metric = metric_pb2.Metric(name="core_cycles", value=4595634, unit="count", provenance=MODELLED)
    assert (label(metric), describe(metric)) == ("core cycles", "4,595,634 (modelled, not validated)")
    metric.band_low, metric.band_high = 0.88, 1.12
    assert describe(metric) == "4,595,634 (modelled, x0.88 to x1.12)"


def test_target_is_named_where_it_is_not_the_board() -> None:
    assert board_of(evaluation_pb2.EvaluationResult(board="nano33ble", target="nano33ble")) == "nano33ble"
    assert board_of(evaluation_pb2.EvaluationResult(board="desk-3", target="nano33ble")) == "desk-3 (nano33ble)"
