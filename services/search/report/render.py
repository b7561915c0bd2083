"""The search's result as one HTML page that needs no network and no other file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

import jinja2
import matplotlib as mpl
from markupsafe import Markup

from services.search.objective import Budgets
from services.search.ports import Costs, Measurement
from services.search.report.plots import pareto_plot
from services.search.run import SearchResult
from services.search.steps.measure import Point
from tinyfarm.pictures.compare import comparison_picture
from tinyfarm.pictures.facts import Facts, facts_of
from tinyfarm.pictures.page import CAPTIONS, network_pictures

UNKNOWN = "–"
Texts = tuple[str, str, str]
# Text stays text (searchable, small), and element ids do not change from run to run.
_SVG_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "tinyfarm", "font.family": "sans-serif"}


@dataclass(frozen=True, slots=True)
class Row:
    """A network as the table shows it: texts of its figures.

    Costs are three texts: measured, estimated as compiled, estimated before training.
    """

    name: str
    description: str
    hand_made: bool
    on_front: bool
    is_winner: bool
    accuracy: str
    float_accuracy: str
    sram: Texts
    arena: Texts
    flash: Texts
    latency: Texts
    energy: Texts
    macs: Texts
    note: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of how many networks the arena was predicted to the byte, and the worst relative error of flash."""

    networks: int
    arena_equal: int
    flash_worst: float


def render_report(result: SearchResult, board: str, title: str = "tinyfarm search") -> str:
    """Return the page: winner, front, what the networks need, table of all networks, limits and times."""
    winner = next((p for p in result.points if p.trained.name == result.winner), None)
    with mpl.rc_context(_SVG_STYLE):
        front = Markup(pareto_plot(result.points, result.baselines, result.budgets.sram_bytes))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(files(__package__).joinpath("report.html.j2").read_text("utf-8"))
    return template.render(
        title=title,
        board=board,
        result=result,
        winner=None if winner is None else _row(winner, result.winner),
        rows=[_row(p, result.winner) for p in (*result.points, *result.baselines)],
        budgets=_budgets(result.budgets),
        front=front,
        comparison=_comparison((*result.points, *result.baselines)),
        pictures=_pictures(winner),
        agreement=agreement_of((*result.points, *result.baselines)),
        total_seconds=sum(seconds for _, seconds in result.seconds),
    )


def _facts(point: Point) -> Facts | None:
    measured = point.measured
    if not isinstance(measured, Measurement) or not measured.manifest:
        return None
    return replace(facts_of(json.loads(measured.manifest)), name=point.trained.name)


def _comparison(points: Sequence[Point]) -> Markup | None:
    """Return weights against activations of all networks whose libraries are known."""
    found = [facts for facts in map(_facts, points) if facts]
    return Markup(comparison_picture(found)) if found else None


def _pictures(winner: Point | None) -> list[tuple[str, Markup, str]]:
    """Return title, picture and caption of everything that is drawn of the winner."""
    facts = winner and _facts(winner)
    return [(name, Markup(picture), CAPTIONS[name]) for name, picture in network_pictures(facts)] if facts else []


def _row(point: Point, winner: str) -> Row:
    trained, measured = point.trained, point.measured
    found = measured if isinstance(measured, Measurement) else None
    costs = (found.costs, found.estimate, trained.predicted) if found else (None, None, trained.predicted)

    def texts(text: Callable[[Costs], str]) -> Texts:
        measured, compiled, predicted = (UNKNOWN if c is None else text(c) for c in costs)
        return measured, compiled, predicted

    return Row(
        trained.name,
        trained.description,
        hand_made=trained.architecture is None,
        on_front=point.on_front,
        is_winner=trained.name == winner,
        accuracy=_percent(found.accuracy) if found else UNKNOWN,
        float_accuracy=_percent(trained.float_accuracy),
        sram=texts(lambda c: _bytes(c.sram.total)),
        arena=texts(lambda c: _bytes(c.sram.arena)),
        flash=texts(lambda c: _bytes(c.flash.total)),
        latency=texts(lambda c: _milli(c.latency_us, "ms")),
        energy=texts(lambda c: _milli(c.energy_uj, "mJ")),
        macs=texts(lambda c: f"{c.macs:,}"),
        note=_note(point),
    )


def agreement_of(points: Sequence[Point]) -> Agreement | None:
    """Return how well the networks as compiled were predicted; None where none was measured."""
    found = [p.measured for p in points if isinstance(p.measured, Measurement)]
    if not found:
        return None
    equal = sum(_arena(m.costs) == _arena(m.estimate) for m in found)
    worst = max(abs(m.estimate.flash.total / m.costs.flash.total - 1) for m in found)
    return Agreement(len(found), equal, worst)


def _arena(costs: Costs) -> tuple[int, ...]:
    return costs.sram.input, costs.sram.activations, costs.sram.line_buffers, costs.sram.scratch


def _note(point: Point) -> str:
    if not isinstance(point.measured, Measurement):
        return f"not measured: {point.measured.message}"
    return "; ".join((*(str(e) for e in point.broken), *point.measured.costs.misfits))


def _budgets(budgets: Budgets) -> list[tuple[str, str]]:
    limits = (
        ("SRAM", _bytes(budgets.sram_bytes)),
        ("Flash", _bytes(budgets.flash_bytes)),
        ("Latency", _milli(budgets.latency_us, "ms")),
        ("Energy", _milli(budgets.energy_uj, "mJ")),
        ("Lowest accuracy", UNKNOWN if budgets.accuracy is None else _percent(budgets.accuracy)),
    )
    return [(name, text) for name, text in limits if text != UNKNOWN]


def _bytes(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _milli(value: float | None, unit: str) -> str:
    return UNKNOWN if value is None else f"{value / 1000:,.2f} {unit}"
