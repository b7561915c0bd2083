"""Receptive fields: what one value of each layer sees of the image, and what patches would read twice."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, floor

from tinyfarm.pictures.facts import Facts, Layer, Patching
from tinyfarm.pictures.frame import WIDTH, image_runs
from tinyfarm.pictures.svg import ACCENT, GRID, INK, MUTED, Svg

_SIDE, _LEFT, _TOP = 250.0, 20.0, 30.0
_SHADES = ("#08306b", "#2171b5", "#4292c6", "#6baed6", "#9ecae1", "#c6dbef")
_SQUARES = (1, 2, 3, 4)


def sight_picture(facts: Facts) -> str | None:
    """Return the picture, or None for networks that read no image."""
    if len(facts.input_shape) != 4 or min(facts.input_shape[1:3]) == 1:
        return None
    patching = facts.patching or example(facts)
    if patching is None or not facts.layers[patching.last].receptive_field_hw:
        return None
    svg = Svg(WIDTH, _SIDE + _TOP + 60, f"Receptive fields of {facts.name}")
    _fields(svg, facts)
    _patch(svg, facts, patching)
    _overlaps(svg, facts, patching)
    return svg.markup()


def example(facts: Facts, words: str = "for example") -> Patching | None:
    """Return 2x2 patches up to the last layer that is streamed; where none is, the last with more than half of the
    most bytes of tensors: up to there patches would help. None where that is no image.
    """
    parts = [i for i, layer in enumerate(facts.layers) if layer.stage == "streaming"]
    tensors = [facts.tensor_bytes(i) for i in range(len(facts.layers))]
    large = [i for i, count in enumerate(tensors) if 2 * count > max(tensors)]
    images = [i for i in (parts or large) if facts.layers[i].image_hw and facts.layers[i].receptive_field_hw]
    return Patching((2, 2), max(images), words) if images else None


def _scaled(facts: Facts) -> float:
    return _SIDE / max(facts.input_shape[1:3])


def _fields(svg: Svg, facts: Facts) -> None:
    """Nested squares on the image: one for each image size, of the last layer that writes it."""
    height, width = (n * _scaled(facts) for n in facts.input_shape[1:3])
    svg.text(_LEFT, 16, f"what one value sees of the {facts.input_shape[1]}×{facts.input_shape[2]} image", bold=True)
    svg.rect(_LEFT, _TOP, width, height, "#f7f8fa", stroke=MUTED)
    runs = [(name, facts.layers[stop - 1]) for _, stop, name in image_runs(facts.layers)]
    seen = [(name, layer) for name, layer in runs if layer.receptive_field_hw and layer.image_hw]
    for number, (name, layer) in reversed(list(enumerate(seen[: len(_SHADES)]))):
        assert layer.receptive_field_hw is not None
        field_h, field_w = (min(n * _scaled(facts), side) for n, side in
                            zip(layer.receptive_field_hw, (height, width), strict=True))  # fmt: skip
        tip = f"a value of {layer.name} ({name}) sees {_hw(layer.receptive_field_hw)} pixels"
        x, y = _LEFT + (width - field_w) / 2, _TOP + (height - field_h) / 2
        svg.rect(x, y, field_w, field_h, _SHADES[number], tip=tip, stroke="#ffffff")
    for number, (name, layer) in enumerate(seen[: len(_SHADES)]):
        assert layer.receptive_field_hw is not None
        column, row = divmod(number, 3)
        x, y = _LEFT + column * 140, _TOP + _SIDE + 18 + 15 * row
        svg.rect(x, y - 9, 10, 10, _SHADES[number])
        svg.text(x + 14, y, f"{name}: {_hw(layer.receptive_field_hw)}", fill=MUTED, size=11)


def _patch(svg: Svg, facts: Facts, patching: Patching) -> None:
    """The grid, and of its patch nearest to the middle the share of the image and all that it reads."""
    layer, grid = facts.layers[patching.last], patching.grid
    left, scale = _LEFT + _SIDE + 70, _scaled(facts)
    height, width = (n * scale for n in facts.input_shape[1:3])
    svg.text(left, 16, f"one patch of {_hw(grid)}", bold=True)
    svg.rect(left, _TOP, width, height, "#f7f8fa", stroke=MUTED)
    at = [(parts - 1) // 2 for parts in grid]
    (top, bottom), (first, last) = (list(reads(layer, axis, grid[axis]))[at[axis]] for axis in (0, 1))
    svg.rect(
        left + first * scale, _TOP + top * scale, (last - first) * scale, (bottom - top) * scale, ACCENT, opacity=0.35
    )
    part = height / grid[0], width / grid[1]
    svg.rect(left + at[1] * part[1], _TOP + at[0] * part[0], part[1], part[0], ACCENT, opacity=0.55)
    for row in range(1, grid[0]):
        svg.line(left, _TOP + row * part[0], left + width, _TOP + row * part[0], INK, dashed=True)
    for column in range(1, grid[1]):
        svg.line(left + column * part[1], _TOP, left + column * part[1], _TOP + height, INK, dashed=True)
    svg.text(left, _TOP + _SIDE + 18, "dark: its share; light: the halo that it reads besides", fill=MUTED, size=11)


def _overlaps(svg: Svg, facts: Facts, patching: Patching) -> None:
    """A table of grids: what one patch reads, and all patches together compared with the image."""
    layer, left = facts.layers[patching.last], _LEFT + 2 * _SIDE + 130
    assert layer.receptive_field_hw is not None and layer.image_hw is not None
    svg.text(left, 16, f"layers 0 to {patching.last} in {_hw(patching.grid)} patches", bold=True)
    svg.text(left, _TOP + 4, patching.words, fill=MUTED, size=11)
    field = f"its values see {_hw(layer.receptive_field_hw)} pixels"
    svg.text(left, _TOP + 20, f"output {_hw(layer.image_hw)}; {field}", fill=MUTED, size=11)
    columns = (left, left + 170, left + 285)
    for x, name, anchor in zip(columns, ("grid", "a patch reads", "pixels read"), ("start", "end", "end"), strict=True):
        svg.text(x, _TOP + 46, name, fill=MUTED, size=11, anchor=anchor)
    squares = ((n, n) for n in _SQUARES)
    grids = [g for g in (*squares, patching.grid) if g[0] <= layer.image_hw[0] and g[1] <= layer.image_hw[1]]
    for row, grid in enumerate(sorted(set(grids), key=lambda g: (g[0] * g[1], g))):
        y = _TOP + 70 + 24 * row
        svg.line(left, y - 16, columns[-1], y - 16, GRID)
        rows, cols = (list(reads(layer, axis, grid[axis])) for axis in (0, 1))
        largest = [max(stop - start for start, stop in spans) for spans in (rows, cols)]
        total = sum(b - a for a, b in rows) * sum(b - a for a, b in cols)
        share = total / (facts.input_shape[1] * facts.input_shape[2])
        for x, text, anchor in zip(
            columns, (_hw(grid), f"{largest[0]}×{largest[1]}", f"{100 * share:.0f} %"), ("start", "end", "end"),
            strict=True,
        ):  # fmt: skip
            svg.text(x, y, text, anchor=anchor, bold=grid == patching.grid)


def reads(layer: Layer, axis: int, grid: int) -> Iterator[tuple[int, int]]:
    """Yield the input rows (axis 0) or columns [first, stop) that each of `grid` patches of the layer's output reads:
    where its windows start and end, without padding and without what no window reaches.
    """
    assert layer.receptive_field_hw is not None and layer.step_hw is not None and layer.image_hw is not None
    out, (low, high) = layer.image_hw[axis], layer.read_hw[axis]
    field, step, begin = layer.receptive_field_hw[axis], layer.step_hw[axis], layer.start_hw[axis]
    for part in range(grid):
        start, stop = out * part // grid, out * (part + 1) // grid
        yield max(low, floor(begin + start * step)), min(high, ceil(begin + (stop - 1) * step + field))


def _hw(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
