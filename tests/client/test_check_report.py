"""The check document of made-up results: what a running stack cannot easily be brought to."""

import jsonschema
import pytest

from tinyfarm.client import Budgets, InvalidInputError
from tinyfarm.client.check import json_schema, report_of
from tinyfarm.v1 import evaluation_pb2, job_pb2, metric_pb2


def metric(name, value, unit, provenance, band=None):
    return metric_pb2.Metric(name=name, value=value, unit=unit, provenance=provenance, band=band, source="test")


def job_of(**changes):
    fields = {
        "model_name": "kws",
        "board": "nano33ble",
        "target": "nrf52840",
        "schedule": "per-layer",
        "macs": 1000,
        "fits": True,
        "twin_equal": True,
        "tool_version": "0.1.0",
        "sram": metric_pb2.SramBytes(input=1, activations=2, scratch=3, arena=6, static=4, stack=5, total=15),
        "flash": metric_pb2.FlashBytes(code=1, weights=2, tables=3, total=6),
        "instructions": metric("instructions", 1e6, "count", metric_pb2.PROVENANCE_EXACT),
        "cycles": metric("cycles", 1.5e6, "count", metric_pb2.PROVENANCE_MODELLED, 0.1),
        "latency": metric("latency", 23_437.5, "us", metric_pb2.PROVENANCE_MODELLED, 0.1),
        "accuracy": metric("accuracy", 0.9, "ratio", metric_pb2.PROVENANCE_EXACT),
        **changes,
    }
    return job_pb2.Job(state=job_pb2.JOB_STATE_SUCCEEDED, evaluation_result=evaluation_pb2.EvaluationResult(**fields))


def check(job, budgets):
    report = report_of(job, budgets)
    jsonschema.validate(report.document, json_schema())
    return report


LIMITS = {
    "no budget": (Budgets(), True, []),
    "at the limit": (Budgets(sram_bytes=15, flash_bytes=6, accuracy=0.9), True, []),
    "one byte short": (Budgets(sram_bytes=14, flash_bytes=6), False, ["max_sram"]),
    "flash": (Budgets(flash_bytes=5), False, ["max_flash"]),
    "latency": (Budgets(latency_us=23_437.0), False, ["max_latency"]),
    "accuracy": (Budgets(accuracy=0.91), False, ["min_accuracy"]),
}


@pytest.mark.parametrize("case", LIMITS)
def test_budgets_decide(case):
    budgets, passed, broken = LIMITS[case]
    report = check(job_of(), budgets)
    assert report.passed is passed
    assert [budget["name"] for budget in report.document["budgets"] if not budget["ok"]] == broken


def test_exact_figures_have_no_band_and_modelled_ones_do():
    document = check(job_of(), Budgets()).document
    assert document["instructions"] == {"value": 1_000_000, "kind": "exact"}
    assert document["cycles"] == {
        "value": 1_500_000,
        "kind": "modelled",
        "band": 0.1,
        "band_low": None,
        "band_high": None,
        "source": "test",
    }
    assert document["energy_uj"] is None


def test_model_that_does_not_fit_breaks_a_budget_and_reports_its_memory():
    misfit = metric_pb2.Misfit(memory="sram", needed_bytes=300, available_bytes=200, layer="conv", layer_index=3)
    job = job_of(fits=False, misfits=[misfit])
    for absent in ("instructions", "cycles", "latency", "accuracy", "twin_equal"):
        job.evaluation_result.ClearField(absent)
    report = check(job, Budgets(latency_us=1e9, accuracy=0.1))
    assert not report.passed
    assert report.document["budgets"] == [
        {"name": "board_sram", "limit": 200, "value": 300, "ok": False},
        {"name": "max_latency", "limit": 1e9, "value": None, "ok": False},
        {"name": "min_accuracy", "limit": 0.1, "value": None, "ok": False},
    ]
    assert report.document["misfits"][0]["layer"] == "conv"


def test_energy_budget_on_a_chip_without_energy_cannot_be_measured():
    with pytest.raises(InvalidInputError, match="no energy per cycle"):
        report_of(job_of(), Budgets(energy_uj=5.0))
