"""What patches need and compute, put together from spans of their parts, against their regions one by one."""

from __future__ import annotations

import pytest

from services.compiler.ir.graph import Graph
from services.compiler.ir.ops import DepthwiseConv2D
from services.compiler.ir.tensor import DType
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.macs import op_macs
from services.compiler.memory.problem import aligned
from services.compiler.passes.pull_input import pull_input
from services.compiler.planner.patch_needs import PatchFacts, PatchNeeds
from services.compiler.schedule.patches import Patches, can_patch, patches
from services.compiler.schedule.staged import turn_scratch_bytes
from services.compiler.schedule.streaming import Streams
from tests.compiler.planner.test_stage_needs import network
from tests.compiler.schedule.image_networks import image_network


def facts_of(graph: Graph, found: Patches, kernels: KernelSet) -> PatchFacts:
    """Return the facts of patches, region by region."""
    beside, macs = [0] * found.stop, 0
    for t, (rows, columns) in found.extents.items():
        start, stop = found.life(graph, t)
        for step in range(start, stop + 1):
            beside[step] += aligned(rows * columns * graph.tensors[t].pixel_bytes)
    for n, op in enumerate(graph.ops[: found.stop]):
        beside[n] += aligned(turn_scratch_bytes(graph, op, kernels, found.extent(n))) - in_place(graph, found, n)
        _, height, width, _ = graph.tensors[op.output].shape
        macs += op_macs(graph, op) * sum(patch[n].pixels for patch in found.regions) // (height * width)
    saved = sum(aligned(graph.tensors[t].size_bytes) for t in found.extents)
    return PatchFacts(max(beside), saved, macs)


def in_place(graph: Graph, found: Patches, n: int) -> int:
    op = graph.ops[n]
    ends = op.inputs[0], op.output
    if not isinstance(op, DepthwiseConv2D) or not found.extents.keys() >= set(ends):
        return 0
    source, result = (graph.tensors[t] for t in ends)
    if found.life(graph, ends[0])[1] != n or source.dtype is not DType.INT8 or source.shape[3] != result.shape[3]:
        return 0
    return min(rows * columns for rows, columns in (found.extents[t] for t in ends)) * source.shape[3] // 4 * 4


def networks() -> dict[str, Graph]:
    graphs = {f"bottlenecks {seed}": network(seed, 64) for seed in range(3)}
    graphs |= {f"drawn {number}": image_network(number) for number in range(12)}
    return graphs | {"pulled": pull_input(network(1, 64))}


@pytest.mark.parametrize("kernels", [KernelSet.PORTABLE, KernelSet.THUMB2])
def test_facts_of_parts_are_those_of_the_patches_one_by_one(kernels: KernelSet) -> None:
    compared = 0
    for name, graph in networks().items():
        needs = PatchNeeds(graph, kernels, Streams(graph))
        most = next((n for n, op in enumerate(graph.ops) if not can_patch(graph, op)), len(graph.ops))
        for stop in range(1, most + 1):
            for grid in ((1, 2), (2, 2), (3, 1), (4, 3)):
                found = patches(graph, stop, grid)
                want = None if found is None else facts_of(graph, found, kernels)
                assert needs.facts(stop, grid) == want, (name, stop, grid)
                compared += want is not None
    assert compared > 200
