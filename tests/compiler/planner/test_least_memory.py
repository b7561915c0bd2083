"""What a network would need at least were an image not held, against the network that keeps its sums."""

from __future__ import annotations

from services.compiler.ir.graph import Graph
from services.compiler.kernels.kernel_set import KernelSet
from services.compiler.options import Core, Interface
from services.compiler.passes.optimize import optimize
from services.compiler.passes.recompute import checkpoints, image_means, made_again
from services.compiler.planned import plan_network
from services.compiler.planner.stages import Pieces
from tests.compiler.schedule.image_networks import image_network


def pieces_of(graph: Graph) -> Pieces:
    return Pieces(plan_network(graph, KernelSet.THUMB2, exact=False, in_order=True), Core.CORTEX_M4)


def test_bound_is_never_more_than_what_sums_in_the_place_of_an_image_need() -> None:
    compared = saved = 0
    for graph in (optimize(image_network(number), Interface.FLOAT) for number in range(60)):
        for mean in image_means(graph):
            nearest = next(iter(checkpoints(graph, mean)), None)
            if nearest is None or nearest.ops or nearest.image in graph.inputs:
                continue
            held, summed = pieces_of(graph), pieces_of(made_again(graph, mean, nearest))
            bound, needed = held.least_memory_without(nearest.image), summed.least_memory(0)
            assert bound <= needed, graph.name
            assert bound <= held.least_memory(0), graph.name
            compared, saved = compared + 1, saved + (needed < held.least_memory(0))
    assert compared > 15 and saved > 3
