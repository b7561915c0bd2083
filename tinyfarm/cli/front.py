"""The front of a search as a table: estimates of the compiled networks beside measured, baselines below."""

from __future__ import annotations

from collections.abc import Sequence

from tinyfarm.cli.figures import amount, kind_of
from tinyfarm.cli.output import print_line, print_table
from tinyfarm.v1 import exploration_pb2

_COLUMNS = (
    "network",
    "accuracy",
    "SRAM",
    "arena estimated",
    "arena measured",
    "flash estimated",
    "flash measured",
    "latency",
    "MACs",
    "",
)


def print_front(
    title: str,
    points: Sequence[exploration_pb2.FrontPoint],
    baselines: Sequence[exploration_pb2.FrontPoint],
    winner: str,
) -> None:
    """Measured points, the most accurate first, then the hand-made baselines under the same limits."""
    ranked = sorted(points, key=lambda point: -point.accuracy.value)
    print_table(title, _COLUMNS, [_row(point, winner) for point in (*ranked, *baselines)])
    for point in (*points, *baselines):
        if point.not_measured:
            print_line(f"{point.name} was not measured: {point.not_measured}")
    sample = next((point.measured for point in ranked if point.measured.HasField("latency")), None)
    if sample is not None:
        print_line(f"SRAM, flash and accuracy are exact; latency is {kind_of(sample.latency)}")
        print_line(_agreement([point for point in (*points, *baselines) if point.measured.fits]))


def _agreement(points: Sequence[exploration_pb2.FrontPoint]) -> str:
    """How well the compiler's estimates of the networks as compiled predict what was measured."""
    equal = sum(p.compiled_estimate.sram.arena == p.measured.sram.arena for p in points)
    worst = max(abs(p.compiled_estimate.flash.total / p.measured.flash.total - 1) for p in points)
    return f"estimated arena equal to measured for {equal} of {len(points)} networks, flash within {worst:.2%}"


def _problem(point: exploration_pb2.FrontPoint) -> str:
    if point.not_measured:
        return "not measured"
    return "" if point.measured.fits else "does not fit"


def _row(point: exploration_pb2.FrontPoint, winner: str) -> tuple[str, ...]:
    measured, predicted = point.measured, point.compiled_estimate
    notes = [
        "winner" if point.name == winner else "",
        "front" if point.on_front else "",
        "baseline" if point.is_baseline else "",
        _problem(point),
        "" if measured.schedule == "per-layer" else measured.schedule,
    ]
    return (
        point.name,
        amount(point.accuracy) if point.HasField("accuracy") else "",
        f"{measured.sram.total:,}",
        f"{predicted.sram.arena:,}",
        f"{measured.sram.arena:,}",
        f"{predicted.flash.total:,}",
        f"{measured.flash.total:,}",
        amount(measured.latency) if measured.HasField("latency") else "",
        f"{measured.macs:,}",
        ", ".join(note for note in notes if note),
    )
