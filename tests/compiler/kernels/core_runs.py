"""Cases of the cores' own kernels on simulated cores, through the whole compiler."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.compiler.options import CompileOptions, Core, Interface, Kernels
from services.compiler.pipeline import Compiled, compile_graph
from services.compiler.quant.reference import run_graph
from tests.compiler.graph_maker import random_inputs
from tests.compiler.kernels.thumb2.core_cases import CORE_CASES
from tests.cores.packed import PackedBoard

TARGETS = {
    Core.CORTEX_M0PLUS: "rp2040",
    Core.CORTEX_M4: "nucleo-l4r5zi",
    Core.CORTEX_M7: "stm32f746",
    Core.CORTEX_M33: "nucleo-u575zi",
}
# portable kernels that these cores have better ones for
REPLACED = {
    "tf_conv2d_s8.c",
    "tf_depthwise_conv2d_s8.c",
    "tf_depthwise_conv2d_plane_s8.c",
    "tf_fully_connected_s8.c",
    "tf_add_s8.c",
}
REPLACED_BY_DSP = {
    "tf_mul_s8.c",
    "tf_max_pool2d_s8.c",
    "tf_average_pool2d_s8.c",
    "tf_mean_s8.c",
    "tf_image_sums_s8.c",
    "tf_softmax_s8.c",
    "tf_conv2d_s16.c",
    "tf_fully_connected_s16.c",
    "tf_depthwise_conv2d_s16.c",
}
GRAPHS = {name: case.graph(number) for number, (name, case) in enumerate(CORE_CASES.items())}


def compiled_for(core: Core, name: str, kernels: Kernels = Kernels.CORE) -> Compiled:
    """Compile a case with the core's own kernels."""
    options = CompileOptions(TARGETS[core], core, interface=Interface.FLOAT, kernels=kernels)
    return compile_graph(GRAPHS[name], GRAPHS[name], options)


def failures(core: Core, names: Sequence[str], kernels: Kernels = Kernels.CORE) -> list[str]:
    """Return the cases whose outputs differ for bytes of all values or for the ends of int8 only."""
    failed = []
    with PackedBoard([compiled_for(core, name, kernels) for name in names]) as board:
        for number, name in enumerate(names):
            graph = GRAPHS[name]
            inputs = random_inputs(graph, number)
            ends = tuple(np.where(x % 2 == 0, *_limits(x.dtype)).astype(x.dtype) for x in inputs)
            right = all(map(np.array_equal, board.run_by_layer(number, inputs), run_graph(graph, inputs)))
            if not right or not all(map(np.array_equal, board.run(number, ends), run_graph(graph, ends))):
                failed.append(name)
    return failed


def _limits(dtype: np.dtype[np.generic]) -> tuple[float, float]:
    if dtype.kind == "f":
        return -1e30, 1e30
    held = np.iinfo(dtype)
    return held.min, held.max


def left_to_portable(core: Core) -> set[str]:
    """Return the cases in whose library a portable kernel is that the core has a better one for."""
    replaced = REPLACED if core is Core.CORTEX_M0PLUS else REPLACED | REPLACED_BY_DSP
    return {name for name in GRAPHS if replaced & set(compiled_for(core, name).manifest.sources)}
