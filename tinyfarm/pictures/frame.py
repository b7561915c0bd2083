"""The frame that pictures over layers share: one column a layer, grid lines, and the image sizes below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from tinyfarm.pictures.facts import Facts, Layer
from tinyfarm.pictures.svg import GRID, MUTED, Svg

WIDTH, LEFT, RIGHT = 960.0, 72.0, 20.0
_STRIP, _CHARACTER = 18.0, 6.6


@dataclass(frozen=True, slots=True)
class Frame:
    """A plot of `count` columns whose values rise from `bottom` to `top` pixels, `highest` at the top."""

    count: int
    top: float
    bottom: float
    highest: float

    @property
    def column(self) -> float:
        """Pixels from one layer to the next."""
        return (WIDTH - LEFT - RIGHT) / max(1, self.count)

    def x(self, layer: float) -> float:
        """Return the left edge of a layer's column."""
        return LEFT + layer * self.column

    def y(self, value: float) -> float:
        """Return the height of a value."""
        return self.bottom - (self.bottom - self.top) * value / (self.highest or 1)

    def draw(self, svg: Svg, ticks: Sequence[float], text: Callable[[float], str], label: str) -> None:
        """Draw grid lines with their values and the axis' name."""
        for tick in (t for t in ticks if t <= self.highest * 1.001):
            svg.line(LEFT, self.y(tick), WIDTH - RIGHT, self.y(tick), GRID)
            svg.text(LEFT - 8, self.y(tick) + 4, text(tick), anchor="end", fill=MUTED, size=11)
        svg.text(14, (self.top + self.bottom) / 2, label, anchor="middle", fill=MUTED, turned=True)

    def draw_layers(self, svg: Svg, facts: Facts) -> None:
        """Draw the numbers of layers, and below them the size of the image that they write."""
        every = next(n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10_000) if n * self.column >= 26)
        for layer in range(0, self.count, every):
            svg.text(self.x(layer + 0.5), self.bottom + 14, str(layer), anchor="middle", fill=MUTED, size=10)
        svg.text(LEFT - 8, self.bottom + 14, "layer", anchor="end", fill=MUTED, size=11)
        svg.text(LEFT - 8, self.bottom + 33, "output", anchor="end", fill=MUTED, size=11)
        for start, stop, name in image_runs(facts.layers):
            left, width = self.x(start), (stop - start) * self.column
            svg.rect(
                left + 1, self.bottom + 20, width - 2, _STRIP, "#f1f3f5", tip=f"layers {start} to {stop - 1}: {name}"
            )
            if len(name) * _CHARACTER < width - 4:
                svg.text(left + width / 2, self.bottom + 33, name, anchor="middle", size=11)
        if in_stages(facts):
            self._draw_stages(svg, facts)

    def _draw_stages(self, svg: Svg, facts: Facts) -> None:
        svg.text(LEFT - 8, self.bottom + 53, "schedule", anchor="end", fill=MUTED, size=11)
        start = 0
        for stage, members in groupby(facts.layers, key=lambda layer: layer.stage):
            stop = start + len(list(members))
            left, width = self.x(start), (stop - start) * self.column
            color = "#f1f3f5" if stage == "per-layer" else "#fde3d3"
            svg.rect(left + 1, self.bottom + 40, width - 2, _STRIP, color, tip=f"layers {start} to {stop - 1}: {stage}")
            if len(stage) * _CHARACTER < width - 4:
                svg.text(left + width / 2, self.bottom + 53, stage, anchor="middle", size=11)
            start = stop


def in_stages(facts: Facts) -> bool:
    """Whether some layers run in patches or rows, which is then told below the layers."""
    return any(layer.stage != "per-layer" for layer in facts.layers)


def foot(facts: Facts) -> float:
    """Return the pixels below a plot that the layers' rows take."""
    return 64.0 if in_stages(facts) else 44.0


def image_runs(layers: Sequence[Layer]) -> list[tuple[int, int, str]]:
    """Return the runs of layers that write images of one size: first layer, one past the last, and the size."""
    runs: list[tuple[int, int, str]] = []
    for size, members in groupby(layers, key=lambda layer: layer.image_hw):
        start = runs[-1][1] if runs else 0
        runs.append((start, start + len(list(members)), f"{size[0]}×{size[1]}" if size else "vector"))
    return runs


def layer_text(index: int, layer: Layer) -> str:
    """Return what a tooltip says of a layer."""
    return f"layer {index}: {layer.op} {layer.name} → {'×'.join(map(str, layer.output_shape))}"
