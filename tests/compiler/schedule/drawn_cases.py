"""A random network under a random schedule, compiled, with inputs and what the numpy reference makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from services.compiler.ir.graph import Graph
from services.compiler.options import CompileOptions, Interface
from services.compiler.passes.optimize import optimize
from services.compiler.pipeline import Compiled, compile_choice
from services.compiler.quant.reference import run_graph
from tests.compiler.graph_maker import random_inputs
from tests.compiler.host_twin import build_twins
from tests.compiler.schedule.drawn_schedules import draw_schedule, kind_of
from tests.cores.packed import Array, PackedBoard, packs
from tests.cores.test_random_on_cores import mistake


@dataclass(frozen=True)
class Case:
    """`kind` names the schedule in a few words; `label` tells the case in an error."""

    graph: Graph
    kind: str
    label: str
    compiled: Compiled
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]


def draw_case(graph: Graph, options: CompileOptions, seed: int) -> Case:
    """Return the network under the schedule that the seed draws, for these options' kernels."""
    optimized = optimize(graph, Interface.FLOAT)
    choice = draw_schedule(optimized, options, seed)
    compiled = compile_choice(choice, optimized, graph, options)
    inputs = random_inputs(graph, seed)
    label = f"{graph.name}, seed {seed}, {options.core.value}, {options.kernels.value} kernels, {choice.reason}"
    return Case(graph, kind_of(choice.planned), label, compiled, inputs, run_graph(graph, inputs))


def host_mistakes(cases: Sequence[Case], folder: Path) -> Iterator[str]:
    """Yield what is wrong with the cases' C code on the host; kernels must be portable."""
    twins = build_twins([case.compiled for case in cases], folder, optimize="-O1")
    for case, twin in zip(cases, twins, strict=True):
        if found := mistake(partial(twin.run, *case.inputs), case.outputs):
            yield f"{case.label}: {found}"


def board_mistakes(cases: Sequence[Case]) -> Iterator[str]:
    """Yield what is wrong with the cases on the simulated board of their target, one and the same."""
    compiled = [case.compiled for case in cases]
    for pack in packs(compiled):
        with PackedBoard([compiled[number] for number in pack]) as board:
            for place, number in enumerate(pack):
                case = cases[number]
                if found := mistake(partial(board.run, place, case.inputs), case.outputs):
                    yield f"{case.label}: {found}"
