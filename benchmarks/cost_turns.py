"""What code around kernels takes of flash where layers take turns: sizes of functions of layers and stages, fitted.

Random networks (those of benchmarks/fuzz_schedules.py) under drawn schedules, some whose input is pulled, are compiled
for a core; nothing is run. Each function of a layer in turns and each loop of a stage is a row.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from scipy.optimize import nnls

from benchmarks.cost_measured import BOARDS, Subject, linked_functions
from services.common.targets import Target
from services.compiler.codegen.names import layer_symbol
from services.compiler.codegen.program import Turns
from services.compiler.codegen.turns import stage_symbol
from services.compiler.cost.glue_counts import WIDE_DIVISIONS, layer_glue, network_glue, stage_glue, turn_glue
from services.compiler.errors import UnsupportedModelError
from services.compiler.ir.graph import Graph
from services.compiler.ir.planned_ops import PullRows
from services.compiler.options import CompileOptions, Interface
from services.compiler.passes.optimize import optimize
from services.compiler.passes.pull_input import with_input
from services.compiler.pipeline import compile_choice
from services.compiler.planned import Planned, StreamPlanner
from services.compiler.planner.kinds import Choice
from services.compiler.schedule.rows import is_row_wise
from services.compiler.schedule.schedule import Stage
from services.compiler.schedule.streaming import stream
from services.evaluator.farm import load_farm
from services.evaluator.image import build_image, write_sources
from services.evaluator.library import CLibrary, read_library
from services.evaluator.toolchain import Toolchain
from tests.compiler.graph_maker import GraphMaker
from tests.compiler.schedule.drawn_schedules import draw_patches, draw_streams, made_again_somewhere
from tests.compiler.schedule.image_networks import image_network

NETWORKS, PULLED = range(1000, 1080), range(1080, 1105)

Row = tuple[Mapping[str, int], int]  # counts, bytes


@dataclass(frozen=True, slots=True)
class Compiled:
    """A plan and the functions of the C code that it came to, in bytes by name."""

    planned: Planned
    name: str
    functions: Mapping[str, int]

    def bytes_of(self, symbol: str) -> int:
        """Return the bytes of a function, or of the copy that the compiler made of it for its arguments."""
        return sum(size for name, size in self.functions.items() if name.partition(".")[0] == symbol)


def fitted_turns(subject: Subject, cache: Path) -> dict[str, float]:
    """Return the bytes that each count of glue in turns costs: non-negative, with the least squares of errors."""
    compiled = list(networks_in_turns(subject, cache))
    a_call, a_pull = calls_in_invoke(compiled)
    rows = [row for one in compiled for row in rows_of(one, a_call, a_pull)]
    names = sorted({name for counts, _ in rows for name in counts})
    counts = np.array([[row.get(name, 0) for name in names] for row, _ in rows], float)
    solution, _ = nnls(counts, np.array([size for _, size in rows], float), maxiter=100_000)
    return {name: float(f"{value:.6g}") for name, value in zip(names, solution, strict=True)}


def networks_in_turns(subject: Subject, cache: Path) -> Iterator[Compiled]:
    """Yield every network with stages that is fitted, compiled for the core."""
    for number in (*NETWORKS, *PULLED):
        graph = optimize(image_network(number), Interface.FLOAT)
        options = replace(subject.options(Interface.FLOAT), pull_input=number in PULLED)
        with suppress(UnsupportedModelError):  # inputs that cannot be pulled
            planned = draw_plan(with_input(graph, options), subject, number)
            if planned.program.stages:
                yield compile_plan(planned, graph, options, cache)


def draw_plan(graph: Graph, subject: Subject, number: int) -> Planned:
    """Return a plan with drawn stages, which asks no cost table."""
    random, pulls = np.random.default_rng(number), isinstance(graph.ops[0], PullRows)
    if number % 3 == 0 and not pulls:
        graph = made_again_somewhere(graph, random)
    planner = StreamPlanner(graph, subject.kernel_set)
    if number % 2 and (found := draw_patches(graph, random)):
        streams = list(draw_streams(graph, random, found[-1].stop))
        return planner.plan_patches(found, streams, exact=False)
    first = [stream(graph, 0, int(random.integers(2, row_wise_stop(graph) + 1)), 1)] if pulls else []
    return planner.plan([*first, *draw_streams(graph, random, first[0].stop if first else 0)], exact=False)


def row_wise_stop(graph: Graph) -> int:
    """Return how many of the first operators run on rows."""
    return next((n for n, op in enumerate(graph.ops) if not is_row_wise(graph, op)), len(graph.ops))


def compile_plan(planned: Planned, graph: Graph, options: CompileOptions, cache: Path) -> Compiled:
    """Compile the network's own file; kernels and weights are not."""
    library = _library(planned, graph, options)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_sources(library, folder)
        source = folder / f"{library.manifest.name}.c"
        (made,) = Toolchain("zig", cache).compile(_target(options), (source,), "network", folder)
        return Compiled(planned, library.manifest.name, _function_bytes(made.read_bytes()))


def _library(planned: Planned, graph: Graph, options: CompileOptions) -> CLibrary:
    return read_library(compile_choice(Choice(planned, "drawn"), graph, graph, options).library_zip)


def _target(options: CompileOptions) -> Target:
    return load_farm().board(BOARDS[options.core]).facts


def _function_bytes(object_file: bytes) -> dict[str, int]:
    """Return the bytes of every function, up to where its section's neighbor may begin."""
    file = ELFFile(io.BytesIO(object_file))
    table = file.get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    found = {}
    for symbol in table.iter_symbols():
        if symbol["st_info"]["type"] == "STT_FUNC" and isinstance(symbol["st_shndx"], int):
            align = int(file.get_section(symbol["st_shndx"])["sh_addralign"])
            found[symbol.name] = -(-int(symbol["st_size"]) // align) * align
    return found


def calls_in_invoke(compiled: list[Compiled]) -> tuple[float, float]:
    """Return the bytes that a call of a function takes in invoke, and more where it pulls, by least squares."""
    counts, sizes = [], []
    for one in compiled:
        program = one.planned.program
        pulling = {layer.index for layer in program.layers if layer.pulls is not None}
        pulls = sum(any(stage.start <= n < stage.stop for n in pulling) for stage in program.stages)
        counts.append((1, len(program.stages) + sum(not layer.in_turns for layer in program.layers), pulls))
        sizes.append(one.bytes_of(f"{one.name}_invoke"))
    _, a_call, a_pull = np.linalg.lstsq(np.array(counts, float), np.array(sizes, float))[0]
    return float(a_call), float(a_pull)


def rows_of(compiled: Compiled, a_call: float, a_pull: float) -> Iterator[Row]:
    """Yield the function of every layer in turns, and every stage's with its call and the function that pulls."""
    planned = compiled.planned
    stages = [stage for stage in planned.schedule.stages if stage.turns]
    for turns, stage in zip(planned.program.stages, stages, strict=True):
        pulling = yield from _layers(compiled, turns, stage)
        own = compiled.bytes_of(stage_symbol(compiled.name, turns)) + a_call
        yield stage_glue(planned.graph, stage), round(own + (pulling + a_pull if pulling else 0))


def _layers(compiled: Compiled, turns: Turns, stage: Stage) -> Generator[Row, None, int]:
    planned, pulling = compiled.planned, 0
    buffers = {b.id: b for b in planned.schedule.buffers}
    for layer, step in zip(planned.program.layers[turns.start : turns.stop], stage.steps, strict=True):
        size = compiled.bytes_of(layer_symbol(compiled.name, layer.index))
        if layer.pulls is not None:
            pulling += size
        else:
            yield {**layer_glue(layer), **turn_glue(planned.graph, step, buffers)}, size
    return pulling


def runtime_of_rings(subject: Subject, cache: Path) -> dict[str, int]:
    """Return the bytes of the runtime's functions that are linked where rings do not have a power of two of rows."""
    m = GraphMaker(name="probe")
    graph = m.build(m.pool("max", m.pool("max", m.input(1, 12, 12, 2), (3, 3)), (3, 3), (2, 2)))
    options = subject.options(Interface.INT8)
    planned = StreamPlanner(graph, subject.kernel_set).plan([stream(graph, 0, 2, 1)], exact=False)
    assert network_glue(graph, planned.schedule, ())[WIDE_DIVISIONS]
    linked = linked_functions(
        build_image(_library(planned, graph, options), _target(options), Toolchain("zig", cache)).elf
    )
    return {name: size for name, size in linked.items() if name.startswith("__")}
