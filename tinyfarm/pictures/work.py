"""Where the multiply-accumulates go: by layer and operator, with each image size's share."""

from __future__ import annotations

from tinyfarm.pictures.facts import Facts
from tinyfarm.pictures.frame import WIDTH, Frame, foot, image_runs, layer_text
from tinyfarm.pictures.svg import MUTED, Svg, count_text, legend, ticks

_OPERATORS = {
    "Conv2D": ("#0072b2", "convolution"),
    "DepthwiseConv2D": ("#e69f00", "depthwise"),
    "FullyConnected": ("#009e73", "fully connected"),
    "RnnPool": ("#cc79a7", "RNNPool"),
}
_TOP, _PLOT, _CHARACTER = 58.0, 180.0, 6.2


def work_picture(facts: Facts) -> str:
    """Return bars of multiply-accumulates by layer."""
    svg = Svg(WIDTH, _TOP + _PLOT + foot(facts), f"Multiply-accumulates of {facts.name} by layer")
    most = max((layer.macs for layer in facts.layers), default=0)
    frame = Frame(len(facts.layers), _TOP, _TOP + _PLOT, 1.04 * max(1, most))
    frame.draw(svg, ticks(most), count_text, "MACs")
    for index, layer in enumerate(facts.layers):
        if layer.macs:
            color, _ = _OPERATORS.get(layer.op, (MUTED, ""))
            tip = f"{layer_text(index, layer)}\n{layer.macs:,} MACs, {100 * layer.macs / facts.macs:.1f} % of all"
            top = frame.y(layer.macs)
            svg.rect(frame.x(index) + 0.5, top, frame.column - 1, frame.bottom - top, color, tip=tip)
    for start, stop, _ in image_runs(facts.layers):
        share = sum(layer.macs for layer in facts.layers[start:stop]) / max(1, facts.macs)
        text, width = f"{100 * share:.0f} %", (stop - start) * frame.column
        if share >= 0.005 and len(text) * _CHARACTER < width:
            svg.text(frame.x(start) + width / 2, _TOP - 10, text, anchor="middle", fill=MUTED, size=11)
        svg.line(frame.x(stop), _TOP - 6, frame.x(stop), frame.bottom)
    frame.draw_layers(svg, facts)
    used = {layer.op for layer in facts.layers if layer.macs}
    legend(svg, 72, 16, [_OPERATORS[op] for op in _OPERATORS if op in used])
    again = sum(layer.macs for layer in facts.layers if layer.name.endswith(" (again)"))
    told = f", {again:,} of them again" if again else ""
    svg.text(WIDTH - 20, 16, f"{facts.macs:,} MACs in all{told}", anchor="end", fill=MUTED)
    return svg.markup()
