"""Memory over time: what lives in the arena while each layer runs, and where it lies."""

from __future__ import annotations

from tinyfarm.pictures.facts import Buffer, Facts
from tinyfarm.pictures.frame import RIGHT, WIDTH, Frame, foot, layer_text
from tinyfarm.pictures.svg import (
    ACCENT,
    COLORS,
    INK,
    MUTED,
    SECOND_ACTIVATION,
    Svg,
    byte_ticks,
    legend,
    shortened,
    size_text,
)

_KINDS = (("input", "input"), ("activation", "activations"), ("line_buffer", "line buffers"), ("scratch", "scratch"))
_TOP, _PLOT = 46.0, 230.0


def memory_picture(facts: Facts) -> str:
    """Return stacked bars: the bytes of every live buffer while each layer runs, in the order of the arena's kinds."""
    svg = Svg(WIDTH, _TOP + _PLOT + foot(facts), f"Memory of {facts.name} over time")
    frame = Frame(len(facts.layers), _TOP, _TOP + _PLOT, 1.06 * max(1, facts.arena_bytes))
    frame.draw(svg, byte_ticks(facts.arena_bytes), size_text, "bytes in use")
    colors = _colors(facts)
    for index, layer in enumerate(facts.layers):
        low = 0
        for buffer, count in facts.own_bytes(index):
            tip = f"{layer_text(index, layer)}\n{buffer.kind} {buffer.name}: {count:,} of {layer.live_bytes:,} bytes"
            top = frame.y(low + count)
            svg.rect(frame.x(index) + 0.5, top, frame.column - 1, frame.y(low) - top, colors[buffer], tip=tip)
            low += count
    _mark_arena(svg, frame, facts)
    frame.draw_layers(svg, facts)
    legend(svg, 72, 16, _legend(facts))
    return svg.markup()


def arena_picture(facts: Facts) -> str:
    """Return the map of the arena: every buffer from its first to its last layer, at its bytes."""
    svg = Svg(WIDTH, _TOP + _PLOT + foot(facts), f"Arena of {facts.name}")
    frame = Frame(len(facts.layers), _TOP, _TOP + _PLOT, 1.06 * max(1, facts.arena_bytes))
    frame.draw(svg, byte_ticks(facts.arena_bytes), size_text, "offset in the arena")
    colors = _colors(facts)
    named: list[_Box] = []
    for buffer in sorted(facts.buffers, key=lambda b: b.first):
        x, width = frame.x(buffer.first) + 0.5, (buffer.last - buffer.first + 1) * frame.column - 1
        y, height = frame.y(buffer.end_bytes), frame.y(buffer.offset_bytes) - frame.y(buffer.end_bytes)
        tip = (
            f"{buffer.kind} {buffer.name}: {buffer.size_bytes:,} bytes at {buffer.offset_bytes:,}, "
            f"layers {buffer.first} to {buffer.last}"
        )
        svg.rect(x, y, width, height, colors[buffer], tip=tip, opacity=0.72, stroke="#ffffff")
        label = (x, y + height / 2 - 8, x + width, y + height / 2 + 8)
        if height >= 15 and width >= 100 and not any(_meet(label, other) for other in named):
            named.append(label)
            svg.text(x + 5, y + height / 2 + 4, shortened(buffer.name, int((width - 8) / 6.4)), size=11)
    _mark_arena(svg, frame, facts)
    frame.draw_layers(svg, facts)
    legend(svg, 72, 16, _legend(facts))
    return svg.markup()


_Box = tuple[float, float, float, float]


def _meet(a: _Box, b: _Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _mark_arena(svg: Svg, frame: Frame, facts: Facts) -> None:
    y = frame.y(facts.arena_bytes)
    svg.line(frame.x(0), y, WIDTH - RIGHT, y, ACCENT, width=1.4, dashed=True)
    if not facts.layers:
        return
    peak, text = facts.peak_layer, f"arena {facts.arena_bytes:,} bytes, fullest at layer {facts.peak_layer}"
    at = frame.x(peak + 0.5)
    right = at < WIDTH / 2
    svg.line(at, y - 8, at, y, ACCENT, width=1.4)
    svg.text(at + (4 if right else -4), y - 6, text, anchor="start" if right else "end", fill=ACCENT, bold=True)


def _colors(facts: Facts) -> dict[Buffer, str]:
    """Neighboring activations differ, so that one buffer can be followed from layer to layer."""
    found, number = {}, 0
    for buffer in sorted(facts.buffers, key=lambda b: b.first):
        found[buffer] = COLORS.get(buffer.kind, INK)
        if buffer.kind == "activation":
            found[buffer] = (COLORS["activation"], SECOND_ACTIVATION)[number % 2]
            number += 1
    return found


def _legend(facts: Facts) -> list[tuple[str, str]]:
    kinds = {b.kind for b in facts.buffers}
    return [(COLORS.get(kind, MUTED), word) for kind, word in _KINDS if kind in kinds]
