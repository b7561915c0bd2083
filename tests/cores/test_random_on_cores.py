"""Random graphs on every simulated core with either set of kernels, against the numpy reference, bit for bit.

TINYFARM_FUZZ_EXAMPLES multiplies the number of graphs (`make fuzz`). A graph is drawn again by its number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from functools import partial

import numpy as np
import pytest

from services.compiler.ir.verify import verify
from services.compiler.options import CompileOptions, Core, Interface, Kernels
from services.compiler.passes.optimize import optimize
from services.compiler.pipeline import Compiled, compile_choice
from services.compiler.planner.choose import choose
from services.evaluator.errors import ProgramFault
from tests.cores.core_graphs import EXAMPLES, Sample, draw_samples
from tests.cores.packed import Array, PackedBoard, packs

BOARDS = (
    ("rp2040", Core.CORTEX_M0PLUS, Kernels.CORE),
    ("nucleo-l4r5zi", Core.CORTEX_M4, Kernels.CORE),
    ("stm32f746", Core.CORTEX_M7, Kernels.CORE),
    ("nucleo-u575zi", Core.CORTEX_M33, Kernels.CORE),
    ("rp2040", Core.CORTEX_M0PLUS, Kernels.PORTABLE),
    ("nucleo-l4r5zi", Core.CORTEX_M4, Kernels.PORTABLE),
    ("stm32f746", Core.CORTEX_M7, Kernels.PORTABLE),
    ("nucleo-u575zi", Core.CORTEX_M33, Kernels.PORTABLE),
)
COUNT = 20 * EXAMPLES


class Planner(Enum):
    """Per layer with the exact solver, per layer by the heuristics alone, or streams of rows for the least memory."""

    EXACT = "exact"
    HEURISTIC = "heuristic"
    STREAMING = "streaming"


def compiled_for(
    sample: Sample, target: str, core: Core, kernels: Kernels, planner: Planner = Planner.EXACT
) -> Compiled:
    schedule = "streaming" if planner is Planner.STREAMING else "per-layer"
    options = CompileOptions(target, core, schedule, Interface.FLOAT, kernels)
    graph = optimize(sample.graph, Interface.FLOAT)
    choice = choose(verify(graph), options, exact=planner is Planner.EXACT)
    return compile_choice(choice, graph, sample.graph, options)


def mistake(run: Callable[[], tuple[Array, ...]], wanted: tuple[Array, ...]) -> str | None:
    """Return what is wrong with a run: its outputs, a write to a wrong place, or a fault."""
    try:
        return None if all(map(np.array_equal, run(), wanted)) else "outputs differ"
    except (AssertionError, ProgramFault) as error:
        return str(error)


def mistakes(
    samples: Sequence[Sample], target: str, core: Core, kernels: Kernels, planner: Planner = Planner.EXACT
) -> Iterator[str]:
    where = f"{core.value}, {kernels.value} kernels, {planner.value} planner"
    known: list[tuple[Sample, Compiled]] = []
    for sample in samples:
        try:
            known.append((sample, compiled_for(sample, target, core, kernels, planner)))
        except Exception as error:  # every graph can be compiled: whatever is raised is a mistake, others go on
            yield f"graph {sample.graph.name}, {where}: not compiled: {error!r}"
    for pack in packs([compiled for _, compiled in known]):
        with PackedBoard([known[number][1] for number in pack]) as board:
            by_layer = kernels is Kernels.CORE and planner is not Planner.STREAMING
            run = board.run_by_layer if by_layer else board.run
            for place, number in enumerate(pack):
                sample, _ = known[number]
                if found := mistake(partial(run, place, sample.inputs), sample.outputs):
                    yield f"graph {sample.graph.name}, {where}: {found}"


@pytest.mark.parametrize(("target", "core", "kernels"), BOARDS)
def test_random_graphs_equal_reference(target: str, core: Core, kernels: Kernels) -> None:
    assert list(mistakes(draw_samples(COUNT), target, core, kernels)) == []


def test_random_graphs_in_streams_equal_reference() -> None:
    found = mistakes(draw_samples(COUNT), "nucleo-l4r5zi", Core.CORTEX_M4, Kernels.CORE, Planner.STREAMING)
    assert list(found) == []
