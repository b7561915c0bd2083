"""The tinyfarm.check/1 document: one measurement held against budgets (docs/reference/check.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from tinyfarm.client.budgets import Budgets, schedule_kept
from tinyfarm.client.errors import InvalidInputError
from tinyfarm.client.plain import enum_name
from tinyfarm.v1 import compile_pb2, evaluation_pb2, job_pb2, metric_pb2

SCHEMA = "tinyfarm.check/1"
SRAM_PARTS = ("input", "activations", "line_buffers", "scratch", "arena", "static", "stack", "total")
FLASH_PARTS = ("code", "weights", "tables", "total")


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The document, and the measurement that it was made from."""

    document: dict[str, Any]
    evaluation: evaluation_pb2.EvaluationResult

    @property
    def passed(self) -> bool:
        """The model fits its board, keeps every budget, and is cut into a grid of patches that was named."""
        return all(budget["ok"] for budget in self.document["budgets"]) and bool(self.document["schedule_kept"])


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the document."""
    text = (files("tinyfarm.client") / "check-schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def report_of(job: job_pb2.Job, limits: Budgets, schedule: str = "auto") -> CheckReport:
    """The report of an evaluation job that succeeded, whose `schedule` was asked for.

    Raises `InvalidInputError` for an energy budget on a chip whose energy nobody states.
    """
    result = job.evaluation_result
    if limits.energy_uj is not None and result.fits and not result.HasField("energy"):
        raise InvalidInputError(
            f"target {result.target} states no energy per cycle: an energy budget cannot be measured",
            reason="NO_ENERGY",
            subject="max_energy",
            value=str(limits.energy_uj),
            allowed="a board whose target states its energy (tinyfarm targets)",
        )
    document = {
        "schema": SCHEMA,
        "model": result.model_name,
        "board": result.board,
        "target": result.target,
        "schedule": result.schedule,
        "schedule_reason": result.schedule_reason,
        "schedule_kept": schedule_kept(schedule, result.schedule),
        "macs": result.macs,
        "interface": "float" if result.interface == compile_pb2.INTERFACE_FLOAT else "int8",
        "pulled_input": result.pulled_input,
        "sram_bytes": {part: getattr(result.sram, part) for part in SRAM_PARTS},
        "flash_bytes": {part: getattr(result.flash, part) for part in FLASH_PARTS},
        "instructions": _figure(result.instructions) if result.HasField("instructions") else None,
        "cycles": _figure(result.cycles) if result.HasField("cycles") else None,
        "core_cycles": _figure(result.core_cycles) if result.HasField("core_cycles") else None,
        "latency_us": _figure(result.latency) if result.HasField("latency") else None,
        "energy_uj": _figure(result.energy) if result.HasField("energy") else None,
        "accuracy": _accuracy(result) if result.HasField("accuracy") else None,
        "twin_equal": result.twin_equal if result.HasField("twin_equal") else None,
        "layers": [_layer(layer) for layer in result.layers],
        "fits": result.fits,
        "misfits": [_misfit(misfit) for misfit in result.misfits],
        "budgets": [*_board_limits(result), *_budgets(result, limits)],
        "cached": job.cached,
        "tool_version": result.tool_version,
    }
    return CheckReport(document, result)


def _figure(metric: metric_pb2.Metric) -> dict[str, Any]:
    kind = enum_name(metric, "provenance")
    whole = metric.unit == "count" and metric.value.is_integer()
    figure: dict[str, Any] = {"value": int(metric.value) if whole else metric.value, "kind": kind}
    if kind != "exact":
        for field in ("band", "band_low", "band_high"):
            figure[field] = getattr(metric, field) if metric.HasField(field) else None
        figure["source"] = metric.source or None
    return figure


def _accuracy(result: evaluation_pb2.EvaluationResult) -> dict[str, Any]:
    return {
        "value": result.accuracy.value,
        "kind": enum_name(result.accuracy, "provenance"),
        "samples": result.samples_on_twin,
        "samples_on_board": result.samples_on_board,
    }


def _layer(layer: evaluation_pb2.LayerProfile) -> dict[str, Any]:
    return {
        "index": layer.index,
        "name": layer.name,
        "op": layer.op,
        "macs": layer.macs,
        "output_shape": list(layer.output_shape),
        "live_bytes": layer.live_bytes,
        "instructions": layer.instructions if layer.HasField("instructions") else None,
        "cycles": layer.cycles if layer.HasField("cycles") else None,
        "core_cycles": layer.core_cycles if layer.HasField("core_cycles") else None,
    }


def _misfit(misfit: metric_pb2.Misfit) -> dict[str, Any]:
    return {
        "memory": misfit.memory,
        "needed_bytes": misfit.needed_bytes,
        "available_bytes": misfit.available_bytes,
        "layer": misfit.layer or None,
        "layer_index": misfit.layer_index if misfit.HasField("layer_index") else None,
    }


def _board_limits(result: evaluation_pb2.EvaluationResult) -> list[dict[str, Any]]:
    """The board's own limits where they are broken: a model that does not fit breaks a budget."""
    return [
        {"name": f"board_{misfit.memory}", "limit": misfit.available_bytes, "value": misfit.needed_bytes, "ok": False}
        for misfit in result.misfits
    ]


def _budgets(result: evaluation_pb2.EvaluationResult, limits: Budgets) -> list[dict[str, Any]]:
    """One entry a given budget; a figure that could not be measured breaks its budget."""
    latency = result.latency.value if result.HasField("latency") else None
    energy = result.energy.value if result.HasField("energy") else None
    accuracy = result.accuracy.value if result.HasField("accuracy") else None
    highest = (
        ("max_sram", limits.sram_bytes, result.sram.total),
        ("max_flash", limits.flash_bytes, result.flash.total),
        ("max_latency", limits.latency_us, latency),
        ("max_energy", limits.energy_uj, energy),
    )
    held = [
        {"name": name, "limit": limit, "value": value, "ok": value is not None and value <= limit}
        for name, limit, value in highest
        if limit is not None
    ]
    if limits.accuracy is not None:
        ok = accuracy is not None and accuracy >= limits.accuracy
        held.append({"name": "min_accuracy", "limit": limits.accuracy, "value": accuracy, "ok": ok})
    return held
