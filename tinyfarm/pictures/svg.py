"""A small writer of SVG: shapes with tooltips, axes with round numbers, text that is always escaped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from math import floor, log10

# Okabe and Ito's colors, which people with any color vision tell apart, and grays.
COLORS = {"input": "#e69f00", "activation": "#0072b2", "line_buffer": "#009e73", "scratch": "#8a8a8a"}
SECOND_ACTIVATION, ACCENT = "#56b4e9", "#d55e00"
INK, MUTED, GRID = "#222222", "#666666", "#e3e6ea"
FONT = 12


@dataclass
class Svg:
    """A picture of `width` x `height` pixels; elements are drawn in the order they come."""

    width: float
    height: float
    title: str
    parts: list[str] = field(default_factory=list)

    def rect(
        self, x: float, y: float, width: float, height: float, fill: str, *, tip: str = "", opacity: float = 1.0,
        stroke: str = "", dashed: bool = False,
    ) -> None:  # fmt: skip
        """Draw a rectangle; `tip` is shown under the pointer."""
        line = f' stroke="{stroke}"' if stroke else ""
        line += ' stroke-dasharray="4 3"' if dashed else ""
        seen = f' fill-opacity="{opacity:g}"' if opacity < 1 else ""
        head = f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{max(0.0, height):.1f}"'
        self.parts.append(f'{head} fill="{fill}"{seen}{line}>{_tip(tip)}</rect>')

    def line(
        self, x1: float, y1: float, x2: float, y2: float, stroke: str = GRID, *, width: float = 1, dashed: bool = False
    ) -> None:
        """Draw a straight line."""
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}" '
            f'stroke-width="{width:g}"{dash}/>'
        )

    def text(
        self, x: float, y: float, text: str, *, anchor: str = "start", fill: str = INK, size: float = FONT,
        bold: bool = False, turned: bool = False,
    ) -> None:  # fmt: skip
        """Write a line of text; `turned` reads upwards."""
        weight = ' font-weight="600"' if bold else ""
        turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}" fill="{fill}"{weight}{turn}>'
            f"{plain(text)}</text>"
        )

    def markup(self) -> str:
        """Return the <svg> element; its title is what a screen reader says."""
        return (
            f'<svg viewBox="0 0 {self.width:g} {self.height:g}" width="{self.width:g}" role="img" '
            f'font-family="system-ui, sans-serif"><title>{plain(self.title)}</title>\n'
            + "\n".join(self.parts)
            + "\n</svg>"
        )


def plain(text: str) -> str:
    """Return text for HTML: escaped, and without control characters, which a name from a model may hold."""
    return escape("".join(c if c.isprintable() else " " for c in text))


def _tip(text: str) -> str:
    return f"<title>{plain(text)}</title>" if text else ""


def shortened(text: str, most: int) -> str:
    """Return the text, shortened in the middle to at most so many characters."""
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"


def size_text(size_bytes: float) -> str:
    """Return bytes with a unit that leaves three digits or so: 812 B, 47.1 KiB, 3.36 MiB."""
    for unit, factor in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size_bytes >= factor:
            value = size_bytes / factor
            return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
    return f"{size_bytes:.0f} B"


def count_text(count: float) -> str:
    """Return a count with a unit: 812, 47.1 k, 301 M, 1.81 G."""
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= factor:
            value = count / factor
            return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
    return f"{count:.0f}"


def ticks(highest: float, most: int = 6) -> list[float]:
    """Return round numbers from 0 to about `highest`, at most so many steps."""
    if highest <= 0:
        return [0.0]
    rough = highest / most
    power = 10.0 ** floor(log10(rough))
    step = next(power * f for f in (1, 2, 2.5, 5, 10) if power * f >= rough)
    return [i * step for i in range(int(highest / step * 1.0001) + 1)]


def byte_ticks(highest: float, most: int = 6) -> list[float]:
    """Return round numbers of bytes, KiB or MiB from 0 to about `highest`."""
    unit = 1 << 20 if highest >= 2 << 20 else 1 << 10 if highest >= 2 << 10 else 1
    return [tick * unit for tick in ticks(highest / unit, most)]


def legend(svg: Svg, x: float, y: float, entries: Iterable[tuple[str, str]]) -> None:
    """Draw colored squares with their words in a row."""
    for color, word in entries:
        svg.rect(x, y - 9, 10, 10, color)
        svg.text(x + 14, y, word, fill=MUTED)
        x += 14 + 6.6 * len(word) + 16
