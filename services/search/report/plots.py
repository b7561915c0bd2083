"""Pictures of the report, as SVG text to be put inside the page."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from services.search.ports import Measurement
from services.search.steps.measure import Point

SEARCHED, HAND_MADE, LIMIT, GRID = "#1f6f8b", "#b3452f", "#666666", "#e4e4e4"


def pareto_plot(points: Sequence[Point], baselines: Sequence[Point], sram_limit: int | None) -> str:
    """Return accuracy over latency and over SRAM, as measured; the line joins the searched front."""
    figure = Figure(figsize=(9.6, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, horizontal in ((left, _latency_ms), (right, _sram_kib)):
        for group, color, label in ((points, SEARCHED, "searched"), (baselines, HAND_MADE, "hand-made")):
            _scatter(axes, [(p, m, horizontal(m)) for p in group if (m := _measured(p))], color, label)
    left.set(xlabel="latency, ms", ylabel="accuracy of the int8 network, %")
    right.set(xlabel="SRAM, KiB")
    low, high = left.get_ylim()
    left.set_ylim(max(low, 0), min(high, 100))  # margins would go on beyond what can be
    if sram_limit is not None:
        right.axvline(sram_limit / 1024, color=LIMIT, linestyle="--", linewidth=1)
        right.annotate("limit", (sram_limit / 1024, 0.02), xycoords=("data", "axes fraction"), color=LIMIT, fontsize=8)
    figure.legend(*right.get_legend_handles_labels(), frameon=False, fontsize=8, ncols=2, loc="outside upper right")
    return _svg(figure, "Accuracy of every measured network over its latency and over its SRAM; figures in the table")


def _scatter(axes: Axes, rows: Sequence[tuple[Point, Measurement, float]], color: str, label: str) -> None:
    front = sorted((x, 100 * m.accuracy) for p, m, x in rows if p.on_front)
    if label == "searched":
        axes.plot([x for x, _ in front], [y for _, y in front], color=color, linewidth=1, alpha=0.5)
    # the shape tells the groups apart without the color
    shape = "o" if label == "searched" else "s"
    xs, ys = [x for _, _, x in rows], [100 * m.accuracy for _, m, _ in rows]
    axes.scatter(xs, ys, color=color, marker=shape, label=label, zorder=3, clip_on=False)
    for point, measured, x in rows:
        axes.annotate(
            _plain(point.trained.name), (x, 100 * measured.accuracy), xytext=(5, 4), textcoords="offset points",
            fontsize=8, color=color,
        )  # fmt: skip
    axes.margins(x=0.15, y=0.2)
    _frame(axes)


def _frame(axes: Axes) -> None:
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _measured(point: Point) -> Measurement | None:
    return point.measured if isinstance(point.measured, Measurement) else None


def _latency_ms(measured: Measurement) -> float:
    return (measured.costs.latency_us or 0.0) / 1000


def _sram_kib(measured: Measurement) -> float:
    return measured.costs.sram.total / 1024


def _plain(name: str) -> str:
    """Matplotlib reads dollar signs as mathematics."""
    return name.replace("$", r"\$")


def _svg(figure: Figure, label: str) -> str:
    """Return the figure as an <svg> element with a label for who cannot see it: text stays text, and the same figure
    gives the same bytes.
    """
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})  # type: ignore[no-untyped-call]
    text = buffer.getvalue().replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    return re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
