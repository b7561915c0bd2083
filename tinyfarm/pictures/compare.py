"""Several networks side by side: what they keep in flash against what they need in SRAM."""

from __future__ import annotations

from collections.abc import Sequence

from tinyfarm.pictures.facts import Facts
from tinyfarm.pictures.svg import COLORS, GRID, MUTED, Svg, shortened, size_text

_WIDTH, _ROW, _TOP, _NAMES, _PANEL, _VALUE = 960.0, 34.0, 40.0, 200.0, 370.0, 130.0


def comparison_picture(networks: Sequence[Facts]) -> str:
    """Return two panels of bars, weights and activations, each to its own scale, with how much less each needs."""
    svg = Svg(_WIDTH, _TOP + _ROW * len(networks) + 8, "Weights against peak activations")
    panels = (
        ("weights and tables in flash", COLORS["input"], [n.constants_bytes for n in networks]),
        ("peak activations: the arena in SRAM", COLORS["activation"], [n.arena_bytes for n in networks]),
    )
    for row, network in enumerate(networks):
        y = _TOP + _ROW * row
        svg.line(0, y + _ROW - 2, _WIDTH, y + _ROW - 2, GRID)
        svg.text(0, y + 18, shortened(network.name, 28))
    for number, (title, color, sizes) in enumerate(panels):
        left, largest = _NAMES + number * (_PANEL + 20), max(1, *sizes)
        svg.text(left, 20, title, fill=MUTED, bold=True)
        for row, size in enumerate(sizes):
            y, width = _TOP + _ROW * row, (_PANEL - _VALUE) * size / largest
            svg.rect(left, y + 4, max(1.5, width), _ROW - 14, color, tip=f"{networks[row].name}: {size:,} bytes")
            ratio = largest / max(1, size)
            less = f"  ({ratio:.1f}× less)" if ratio >= 1.05 else ""
            svg.text(left + width + 8, y + 18, size_text(size) + less)
    return svg.markup()
