"""Every portable kernel with its output over its input exactly as far as the overlap rule allows, byte by byte.

A planner seldom needs the last byte that a rule gives away, so the offsets are chosen here. Thumb-2 kernels:
tests/cores/test_overlapping_convolutions.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from services.compiler import planned
from services.compiler.ir.activation import Activation
from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import Padding
from services.compiler.ir.tensor import DType
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.memory.arena import ArenaPlan
from services.compiler.memory.live_range import LiveRange, live_ranges
from services.compiler.memory.overlap import OverlapRule, OverlapRules
from services.compiler.options import CompileOptions, Core, Interface, Kernels
from services.compiler.pipeline import Compiled, compile_graph
from services.compiler.quant.reference import run_graph
from services.compiler.schedule.per_layer import per_layer_schedule
from tests.compiler.graph_maker import GraphMaker, random_inputs
from tests.compiler.host_twin import build_twins

COUNT = 8 * int(os.environ.get("TINYFARM_FUZZ_EXAMPLES", "1"))
OPTIONS = CompileOptions("host", Core.CORTEX_M4, interface=Interface.FLOAT, kernels=Kernels.PORTABLE)


def image(m: GraphMaker, channels: int = 6) -> int:
    h, w, c = (int(m.random.integers(1, top)) for top in (8, 9, channels))
    return m.input(1, h, w, c)


def window(m: GraphMaker, x: int) -> tuple[tuple[int, int], tuple[int, int], Padding]:
    """A kernel no larger than the image, strides, and paddings smaller than the kernel."""
    _, h, w, _ = m.shape(x)
    kernel = int(m.random.integers(1, min(4, h) + 1)), int(m.random.integers(1, min(4, w) + 1))
    stride = int(m.random.integers(1, 4)), int(m.random.integers(1, 4))
    top, bottom = m.random.integers(0, kernel[0], 2).tolist()
    left, right = m.random.integers(0, kernel[1], 2).tolist()
    return kernel, stride, Padding(top, bottom, left, right)


def conv(m: GraphMaker, weights: DType = DType.INT8) -> int:
    x = image(m, 12)
    kernel, stride, padding = window(m, x)
    return m.conv2d(x, int(m.random.integers(1, 9)), kernel, stride, padding=padding, weights=weights)


def depthwise(m: GraphMaker, weights: DType = DType.INT8) -> int:
    x = image(m, 4)
    kernel, stride, padding = window(m, x)
    return m.depthwise(x, int(m.random.integers(1, 4)), kernel, stride, padding=padding, weights=weights)


def depthwise_plane(m: GraphMaker, weights: DType = DType.INT8) -> int:
    x = m.input(1, 5, 4, int(m.random.integers(10, 40)))
    return m.depthwise(x, 1, padding=Padding(2, 1, 1, 2), weights=weights)


def pool(m: GraphMaker) -> int:
    x = image(m)
    kernel, stride, padding = window(m, x)
    kind = "max" if m.random.integers(2) else "average"
    return m.pool(kind, x, kernel, stride, padding)


def mean(m: GraphMaker) -> int:
    axes = ((1,), (2,), (3,), (1, 2), (2, 3), (1, 3))
    return (m.sum if m.random.integers(2) else m.mean)(image(m), axes[int(m.random.integers(len(axes)))])


def resize(m: GraphMaker) -> int:
    h, w = (int(n) for n in m.random.integers(1, 13, 2))
    return m.resize(image(m), h, w, half=bool(m.random.integers(2)))


def bilinear(m: GraphMaker) -> int:
    h, w = (int(n) for n in m.random.integers(1, 13, 2))
    return m.resize(image(m), h, w, half=bool(m.random.integers(2)), bilinear=True)


def prelu(m: GraphMaker) -> int:
    x = image(m)
    return m.prelu(x, m.shape(x)[3:])


def concatenate(m: GraphMaker) -> int:
    x, axis = image(m), int(m.random.integers(1, 4))
    shape = list(m.shape(x))
    shape[axis] = int(m.random.integers(1, 6))
    y = m.input(*shape, quant=m.same_quant(x))
    relu = Activation.RELU if m.random.integers(2) and m.activations is DType.INT8 else Activation.NONE
    return m.concatenate((x, y) if m.random.integers(2) else (x, y, x), axis, relu)


def split(m: GraphMaker) -> tuple[int, ...]:
    x, axis = image(m), int(m.random.integers(1, 4))
    size = m.shape(x)[axis]
    cuts = (1, size - 2, 1) if size > 2 else (1, size - 1) if size == 2 else (1,)
    return m.split(x, axis, cuts)


def cut(m: GraphMaker) -> int:
    x = image(m)
    begin = tuple(int(m.random.integers(0, d)) for d in m.shape(x))
    end = tuple(int(m.random.integers(b + 1, d + 1)) for b, d in zip(begin, m.shape(x), strict=True))
    return m.slice(x, begin, end, tuple(m.random.integers(1, 3, 4).tolist()))


def transpose(m: GraphMaker) -> int:
    x = image(m)
    return m.transpose(x, (0, *(1 + m.random.permutation(3)).tolist()))


def add(m: GraphMaker) -> int:
    x = image(m)
    return m.binary(("add", "sub", "mul")[int(m.random.integers(3))], x, m.input(*m.shape(x)))


def rnn_pool(m: GraphMaker) -> int:
    x = image(m)
    kernel, stride, padding = window(m, x)
    return m.rnn_pool(x, int(m.random.integers(1, 6)), int(m.random.integers(1, 6)), kernel, stride, padding)


FAMILIES: dict[str, Callable[[GraphMaker], int | tuple[int, ...]]] = {
    "conv": conv,
    "depthwise": depthwise,
    "depthwise through a plane": depthwise_plane,
    "conv int4": lambda m: conv(m, DType.INT4),
    "depthwise int4": lambda m: depthwise(m, DType.INT4),
    "depthwise int4 through a plane": lambda m: depthwise_plane(m, DType.INT4),
    "pool": pool,
    "mean": mean,
    "resize": resize,
    "bilinear": bilinear,
    "concatenate": concatenate,
    "split": split,
    "slice": cut,
    "transpose": transpose,
    "rows and columns swapped": lambda m: m.transpose(image(m), (0, 2, 1, 3)),
    "add": add,
    "rnn pool": rnn_pool,
    "prelu": prelu,
    "maximum": lambda m: m.binary("maximum", x := image(m), m.input(*m.shape(x), quant=m.same_quant(x))),
    "softmax": lambda m: m.unary("softmax", image(m)),
    "table": lambda m: m.unary("logistic", image(m)),
    "dense": lambda m: m.dense(m.input(*m.random.integers(1, 9, 2).tolist()), int(m.random.integers(1, 12))),
    "dense int4": lambda m: m.dense(
        m.input(*m.random.integers(1, 9, 2).tolist()), int(m.random.integers(1, 12)), weights=DType.INT4
    ),
    "quantize": lambda m: m.quantize(m.input(1, int(m.random.integers(1, 30)), dtype=DType.FLOAT32)),
    "mean of sums": lambda m: m.mean_in_halves(image(m, 40)),
    "pool of sums": lambda m: m.pool_in_halves(image(m, 40)),
    "dequantize": lambda m: m.dequantize(m.input(1, int(m.random.integers(1, 30)))),
}


WIDE = (
    "conv", "depthwise", "pool", "mean", "concatenate", "split", "rows and columns swapped", "add", "softmax", "table",
    "dense", "dequantize",
)  # fmt: skip
FAMILIES |= {f"{family} int16": FAMILIES[family] for family in WIDE}


def graph_of(family: str, number: int) -> Graph:
    activations = DType.INT16 if family.endswith("int16") else DType.INT8
    m = GraphMaker(seed=number, name=f"k{list(FAMILIES).index(family)}x{number}", activations=activations)
    made = FAMILIES[family](m)
    return m.build(*(made if isinstance(made, tuple) else (made,)))


def rules_of(graph: Graph) -> list[OverlapRule]:
    schedule = per_layer_schedule(graph)
    lives = {r.buffer: r for r in live_ranges(schedule)}
    rules = OverlapRules(graph, KernelSet.PORTABLE).of(schedule)
    return [r for r in rules if lives[r.source].last == lives[r.target].first]


def closest(ranges: Sequence[LiveRange], rule: OverlapRule, align: int, closer: int) -> ArenaPlan:
    """Put the target as high over the source as the rule allows, `closer` bytes more, and all else above both."""
    sizes = {r.buffer: r.size_bytes for r in ranges}
    source = -(-(sizes[rule.target] + 64) // align) * align
    highest = range(source + sizes[rule.source], -1, -align)
    target = next(at for at in highest if rule.allows(source, at)) + closer
    offsets = {rule.source: source, rule.target: target}
    end = max(offset + sizes[buffer] for buffer, offset in offsets.items())
    for buffer in sizes.keys() - offsets.keys():
        offsets[buffer] = -(-end // 4) * 4
        end = offsets[buffer] + sizes[buffer]
    return ArenaPlan(offsets, -(-end // 4) * 4, 0, "closest")


def compiled(graph: Graph, rule: OverlapRule, closer: int, monkeypatch: pytest.MonkeyPatch) -> Compiled:
    wide = {t.dtype.bits // 8 for t in graph.tensors.values() if not t.is_constant}
    monkeypatch.setattr(planned, "affordable_planes", lambda *_: frozenset())
    monkeypatch.setattr(planned, "plan_arena", lambda r, _, **__: closest(r, rule, max(wide), closer))
    return compile_graph(graph, graph, OPTIONS)


def wrong(family: str, closer: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, list[str]]:
    """Return how many rules were tried, and the graphs whose outputs were wrong."""
    graphs = [graph_of(family, number) for number in range(COUNT)]
    tried: dict[str, tuple[Graph, Compiled]] = {}
    for graph in graphs:
        for number, rule in enumerate(rules_of(graph)):
            named = Graph(f"{graph.name}r{number}", graph.tensors, graph.ops, graph.inputs, graph.outputs)
            tried[f"{named.name}: {graph.ops[0]} {rule}"] = named, compiled(named, rule, closer, monkeypatch)
    twins = build_twins([one for _, one in tried.values()], folder, optimize="-O1")
    failed = []
    for (name, (graph, _)), twin in zip(tried.items(), twins, strict=True):
        inputs = random_inputs(graph, 1)
        if not all(map(np.array_equal, twin.run(*inputs), run_graph(graph, inputs))):
            failed.append(name)
    return len(tried), failed


@pytest.mark.parametrize("family", FAMILIES)
def test_output_as_close_as_the_rule_allows(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried, failed = wrong(family, 0, tmp_path, monkeypatch)
    assert tried > 0
    assert failed == []


@pytest.mark.parametrize(
    "family", ["conv", "depthwise", "pool", "concatenate", "resize", "split", "softmax", "add", "rnn pool"]
)
def test_output_closer_than_that_is_wrong(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules give away nothing that they need not, and the test above would see one that gave too much."""
    _, failed = wrong(family, 1, tmp_path, monkeypatch)
    assert failed
