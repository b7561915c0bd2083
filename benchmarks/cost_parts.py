"""Sums of images, run part by part as stages compute them: what a part costs beside its pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

from benchmarks.cost_measured import Measured, Subject, on_board
from services.compiler.codegen.program import KernelCall, Layer, Program, RegionArg
from services.compiler.ir.graph import Graph
from services.compiler.ir.planned_ops import ImageSums
from services.compiler.options import Interface
from services.compiler.pipeline import compile_choice
from services.compiler.planned import plan_network
from services.compiler.planner.kinds import Choice
from tests.compiler.graph_maker import GraphMaker

_Span = tuple[int, int]


def image_sums(seed: int) -> Graph:
    """Return sums of images of many sizes, and their means."""
    m = GraphMaker(seed=seed, name=f"image_sums_{seed}")
    outputs = []
    for channels in (2, 4, 8, 13, 24, 42):
        h, w = (int(n) for n in m.random.integers(4, 25, 2))
        outputs.append(m.mean_in_halves(m.input(1, h, w, channels)))
    return m.build(*outputs)


def run_in_parts(graph: Graph, subject: Subject, cache: Path) -> Measured:
    """Compile and run a graph whose images are summed whole, in runs of rows and in patches, one by turns."""
    options = subject.options(Interface.FLOAT)
    planned = plan_network(graph, subject.kernel_set)
    cut = planned.with_program(Program(tuple(_cut(graph, layer) for layer in planned.program.layers)))
    library = compile_choice(Choice(cut, "per-layer: cut in parts"), graph, graph, options).library_zip
    return on_board(library, cut, subject, cache)


def _cut(graph: Graph, layer: Layer) -> Layer:
    if not isinstance(graph.ops[layer.op_index], ImageSums):
        return layer
    (call,) = layer.calls
    rows, columns = ((1, 1), (3, 1), (2, 3))[layer.index // 2 % 3]
    return replace(layer, calls=tuple(_parts(call, rows, columns)))


def _parts(call: KernelCall, rows: int, columns: int) -> Iterator[KernelCall]:
    for some_rows, some_columns in product(_spans(call.region.rows, rows), _spans(call.region.cols, columns)):
        yield replace(call, region=RegionArg(some_rows, some_columns))


def _spans(span: _Span, parts: int) -> Iterator[_Span]:
    start, stop = span
    yield from pairwise(start + (stop - start) * part // parts for part in range(parts + 1))
