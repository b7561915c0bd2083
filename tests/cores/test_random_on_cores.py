"""Random graphs on every simulated core with either set of kernels, against the numpy reference, bit for bit.

TINYFARM_FUZZ_EXAMPLES multiplies the number of graphs (`make fuzz`). A graph is drawn again by its number.
"""

from __future__ import annotations

import numpy as np

from services.compiler.options import CompileOptions, Core, Interface, Kernels
from services.compiler.passes.optimize import optimize
from services.compiler.pipeline import Compiled, compile_graph
from services.compiler.quant.reference import run_graph
from tests.compiler.graph_maker import random_inputs
from tests.cores.core_graphs import EXAMPLES, Sample, draw_samples
from tests.cores.packed import Array, PackedBoard

BOARDS = (
    ("rp2040", Core.CORTEX_M0PLUS, Kernels.PORTABLE),
    ("nucleo-l4r5zi", Core.CORTEX_M4, Kernels.CORE),
    ("stm32f746", Core.CORTEX_M7, Kernels.CORE),
    ("nucleo-u575zi", Core.CORTEX_M33, Kernels.CORE),
    ("nucleo-l4r5zi", Core.CORTEX_M4, Kernels.PORTABLE),
    ("stm32f746", Core.CORTEX_M7, Kernels.PORTABLE),
    ("nucleo-u575zi", Core.CORTEX_M33, Kernels.PORTABLE),
)
PACK = 30
COUNT = PACK * EXAMPLES


def compiled_for(sample: Sample, target: str, core: Core, kernels: Kernels) -> Compiled:
    options = CompileOptions(target, core, interface=Interface.FLOAT, kernels=kernels)
    return compile_graph(optimize(sample.graph, Interface.FLOAT), sample.graph, options)


def wrong(got: tuple[Array, ...], wanted: tuple[Array, ...]) -> bool:
    return not all(map(np.array_equal, got, wanted))


def test_random_graphs_equal_reference() -> None:
    samples = draw_samples(COUNT)
    failed = []
    for first in range(0, COUNT, PACK):
        pack = samples[first : first + PACK]
        inputs = [random_inputs(sample.graph, sample.seed) for sample in pack]
        wanted = [run_graph(sample.graph, x) for sample, x in zip(pack, inputs, strict=True)]
        for target, core, kernels in BOARDS:
            with PackedBoard([compiled_for(sample, target, core, kernels) for sample in pack]) as board:
                for number, (x, want) in enumerate(zip(inputs, wanted, strict=True)):
                    run = board.run_by_layer if kernels is Kernels.CORE else board.run
                    if wrong(run(number, x), want):
                        failed.append(f"graph {first + number} on {core.value} with {kernels.value} kernels")
    assert failed == []
