"""Memory over time: what lives in the arena while each layer runs, and where it lies."""

from __future__ import annotations

from collections.abc import Sequence

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
    placed = [(buffer, _place(frame, buffer)) for buffer in sorted(facts.buffers, key=lambda b: b.first)]
    for buffer, (left, top, right, bottom) in placed:
        tip = (
            f"{buffer.kind} {buffer.name}: {buffer.size_bytes:,} bytes at {buffer.offset_bytes:,}, "
            f"layers {buffer.first} to {buffer.last}"
        )
        svg.rect(left, top, right - left, bottom - top, colors[buffer], tip=tip, opacity=0.72, stroke="#ffffff")
    taken: list[_Box] = []
    for number, (buffer, place) in enumerate(placed):
        room = _free_line(place, frame.column, [*taken, *(other for _, other in placed[number + 1 :])])
        if room is not None:
            taken.append(room)
            text = shortened(buffer.name, int((room[2] - room[0] - 8) / _LETTER))
            svg.text(room[0] + 5, room[1] + 12, text, size=11)
    _mark_arena(svg, frame, facts)
    frame.draw_layers(svg, facts)
    legend(svg, 72, 16, _legend(facts))
    return svg.markup()


_Box = tuple[float, float, float, float]
_LINE, _SHORTEST, _LETTER = 16.0, 100.0, 6.4


def _place(frame: Frame, buffer: Buffer) -> _Box:
    left, right = frame.x(buffer.first) + 0.5, frame.x(buffer.last + 1) - 0.5
    return left, frame.y(buffer.end_bytes), right, frame.y(buffer.offset_bytes)


def _free_line(place: _Box, column: float, others: Sequence[_Box]) -> _Box | None:
    """Return the first room for a line of text in a buffer's place that no later buffer and no text is drawn over."""
    left, top, right, bottom = place
    if bottom - top < _LINE - 1:
        return None
    middle = (top + bottom) / 2
    high, low = middle - _LINE / 2, middle + _LINE / 2
    beside = [other for other in others if high < other[3] and other[1] < low]
    while right - left >= _SHORTEST:
        end = min([right, *(other[0] for other in beside if left < other[2] and other[0] < right)])
        if end - left >= _SHORTEST:
            return left, high, end, low
        left += column
    return None


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
