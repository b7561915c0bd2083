"""Convolutions whose output lies over their input as far as the overlap rule lets it, on a simulated core.

A planner seldom needs the last byte that a rule gives away, so the offsets are chosen here: input and output at the
rule's very distance, scratch beside them. TINYFARM_FUZZ_EXAMPLES multiplies their number (`make fuzz`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from services.compiler import planned
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Padding
from services.compiler.memory.arena import ArenaPlan, plan_arena
from services.compiler.memory.live_range import LiveRange
from services.compiler.memory.overlap import OverlapRule
from services.compiler.options import CompileOptions, Core, Interface, Kernels
from services.compiler.pipeline import compile_graph
from services.compiler.quant.reference import run_graph
from tests.compiler.graph_maker import GraphMaker, random_inputs
from tests.cores.core_graphs import EXAMPLES
from tests.cores.packed import PackedBoard, packs

COUNT = 30 * EXAMPLES
ALIGN = 4
TARGETS = {Core.CORTEX_M4: "nucleo-l4r5zi", Core.CORTEX_M0PLUS: "rp2040"}


def one_convolution(number: int) -> Graph:
    """A convolution with few or many channels on either side, and any padding that leaves an output."""
    m = GraphMaker(seed=number, name=f"o{number:05}")
    pick = m.random.integers
    h, w, (in_c, out_c) = int(pick(1, 9)), int(pick(1, 12)), pick(1, 14, 2).tolist()
    if number % 3 == 0:
        in_c, out_c = (4 * in_c, out_c % 3 + 1) if number % 2 else (in_c % 3 + 1, out_c)
    kernel = (int(pick(1, min(4, h) + 1)), int(pick(1, min(4, w) + 1))) if number % 4 else (1, 1)
    sides = pick(0, 3, 4).tolist() if number % 4 != 1 else [0, 0, 0, 0]
    stride = (int(pick(1, 3)), int(pick(1, 3)))
    return m.build(m.conv2d(m.input(1, h, w, in_c), out_c, kernel, stride, padding=Padding(*sides)))


def windows_that_fall_back(number: int) -> Graph:
    """Rows of outputs whose windows begin in the padding above the image: the next row begins with the same bytes."""
    m = GraphMaker(seed=number, name=f"f{number:05}")
    shapes = ((64, 1), (16, 2), (48, 3), (12, 1), (240, 4))
    windows = (((3, 3), (1, 1, 0, 2)), ((2, 1), (1, 0, 0, 0)), ((3, 1), (2, 0, 0, 0)), ((4, 2), (3, 0, 0, 1)))
    (in_c, out_c), (kernel, padding) = shapes[number % 5], windows[number % 4]
    x = m.input(1, 3, 2 + number % 9, in_c)
    return m.build(m.conv2d(x, out_c, kernel, padding=Padding(*padding)))


def one_depthwise(number: int) -> Graph:
    """A depthwise convolution, often of more rows than the plane holds, often with more outputs than inputs."""
    m = GraphMaker(seed=number, name=f"d{number:05}")
    pick = m.random.integers
    h, w, c = int(pick(1, 120)), int(pick(2, 20)), int(pick(1, 4))
    kernel = (int(pick(1, min(6, h + 1))), int(pick(1, min(6, w + 1))))
    sides = pick(0, 4, 4).tolist() if number % 2 else [0, 0, 0, 0]
    stride = (int(pick(1, 3)), int(pick(1, 3)))
    multiplier, dilation = (1 + number % 3 if c == 1 else 1), (1, 1)
    if number % 5 == 4:  # kernels that still fit the image
        dilation = min(3, max(1, (h - 1) // max(1, kernel[0] - 1))), min(3, max(1, (w - 1) // max(1, kernel[1] - 1)))
        stride = stride[0], 1
    x = m.input(1, h, w, c)
    return m.build(m.depthwise(x, multiplier, kernel, stride, dilation, padding=Padding(*sides)))


def after(offset: int) -> int:
    return -(-offset // ALIGN) * ALIGN


def closest(ranges: Sequence[LiveRange], rule: OverlapRule) -> ArenaPlan:
    """Put the output as high over the input as the rule allows, and scratch above both."""
    sizes = {r.buffer: r.size_bytes for r in ranges}
    source, top = after(sizes[rule.target]) + ALIGN, after(sizes[rule.source])
    target = next((source + d for d in range(top, -source - 1, -ALIGN) if rule.allows(source, source + d)), None)
    if target is None:
        return plan_arena(ranges, ())
    offsets = {rule.source: source, rule.target: target}
    end = after(max(offset + sizes[buffer] for buffer, offset in offsets.items()))
    for buffer in sizes.keys() - offsets.keys():
        offsets[buffer] = end
        end = after(end + sizes[buffer])
    return ArenaPlan(offsets, end, 0, "closest")


FAMILIES = {
    "convolutions": one_convolution,
    "windows that fall back": windows_that_fall_back,
    "depthwise convolutions": one_depthwise,
}


@pytest.mark.parametrize("core", TARGETS, ids=lambda core: core.value)
@pytest.mark.parametrize("family", FAMILIES)
def test_output_as_close_as_the_rule_allows(family: str, core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    def place(ranges: Sequence[LiveRange], rules: Sequence[OverlapRule], **_: bool) -> ArenaPlan:
        return closest(ranges, rules[0]) if rules else plan_arena(ranges, rules)

    monkeypatch.setattr(planned, "plan_arena", place)
    graphs = [FAMILIES[family](number) for number in range(COUNT)]
    options = CompileOptions(TARGETS[core], core, interface=Interface.FLOAT, kernels=Kernels.CORE)
    compiled = [compile_graph(graph, graph, options) for graph in graphs]
    assert sum(one.manifest.plan.algorithm == "closest" for one in compiled) > COUNT // 2
    failed = []
    for pack in packs(compiled):
        with PackedBoard([compiled[number] for number in pack]) as board:
            for index, number in enumerate(pack):
                inputs = random_inputs(graphs[number], number)
                if not np.array_equal(board.run(index, inputs)[0], run_graph(graphs[number], inputs)[0]):
                    failed.append(f"{number}: {graphs[number].ops[0]}")
    assert failed == []
