"""Figures as text, always with their kind: exact, modelled or measured."""

from __future__ import annotations

from tinyfarm.client.plain import enum_name
from tinyfarm.v1 import evaluation_pb2, metric_pb2


def describe(metric: metric_pb2.Metric) -> str:
    """Value, unit and kind, with the error band where there is one."""
    return f"{amount(metric)} ({kind_of(metric)})"


def counted(count: int, thing: str) -> str:
    """A number of things as words: 1 sample, 20 samples."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def board_of(result: evaluation_pb2.EvaluationResult) -> str:
    """The board, and its target where that has another name."""
    return result.board if result.board == result.target else f"{result.board} ({result.target})"


def schedule_of(result: evaluation_pb2.EvaluationResult) -> str:
    """The schedule that the network runs under."""
    return f"{result.schedule}, input pulled" if result.pulled_input else result.schedule


def label(metric: metric_pb2.Metric) -> str:
    """The metric's name as words."""
    return metric.name.replace("_", " ")


def kind_of(metric: metric_pb2.Metric) -> str:
    """Exact, modelled with its band, or measured."""
    kind = enum_name(metric, "provenance")
    if metric.HasField("band_low") and metric.HasField("band_high"):
        return f"{kind}, x{metric.band_low:.2f} to x{metric.band_high:.2f}"
    return kind if kind == "exact" else f"{kind}, not validated"


def amount(metric: metric_pb2.Metric) -> str:
    """Value and unit in a size that people read."""
    match metric.unit:
        case "us":
            return f"{metric.value / 1000:,.3f} ms"
        case "uJ":
            return f"{metric.value:,.1f} µJ"
        case "ratio":
            return f"{metric.value:.2%}"
        case "count":
            return f"{metric.value:,.0f}"
    return f"{metric.value:,.4g} {metric.unit}"
