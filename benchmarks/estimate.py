"""How many candidates a second the estimator answers, and whether compiling gives the arena that it said.

    python -m benchmarks.estimate [--count N] [--compiled N] [--target NAME] [--json]

Candidates are random MBConv networks of 20 blocks at 96 x 96 pixels, as a search draws them, on one core: seconds are
of this process' own time, without gRPC. The first round meets every layer for the first time; the second meets what
the first one has. `--compiled` of the candidates get random weights and are compiled; where the exact solver closed a
gap of the plan, the compiled arena may be smaller.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from random import Random

from benchmarks.networks import plan_graph
from services.common.targets import load_target
from services.compiler.convert.network import network_from_proto
from services.compiler.estimate import estimate
from services.compiler.ir.graph import Graph
from services.compiler.options import CompileOptions, Core
from services.compiler.pipeline import compile_graph
from services.search.convert import network_to_proto
from services.search.space.image import SpaceChoices, image_spaces
from services.search.space.network import network_of
from services.search.space.plan import Plan, plan_of
from services.search.space.sample import sample
from services.search.space.stages import SEPARABLE

BLOCKS_A_STAGE = 5


@dataclass(frozen=True, slots=True)
class Result:
    """Candidates a second by process time; of those compiled, arenas that were equal, and those with a gap."""

    candidates: int
    layers: float
    first_a_second: float
    again_a_second: float
    compiled: int
    arena_equal: int
    with_gap: int
    arena_smaller: int


def candidates(count: int, seed: int = 0) -> list[Plan]:
    """Return random networks of 20 inverted bottlenecks."""
    spaces = image_spaces((96, 96, 3), 10, SpaceChoices(depths=(BLOCKS_A_STAGE,)))
    space = [space for space in spaces if SEPARABLE not in space.stages[0].expansions][-1]
    random = Random(seed)
    return [plan_of(space, sample(space, random)) for _ in range(count)]


def rate(networks: list[Graph], options: CompileOptions) -> float:
    """Return networks a second of process time."""
    start = time.process_time()
    for network in networks:
        estimate(network, options)
    return len(networks) / (time.process_time() - start)


def measure(count: int, compiled: int, options: CompileOptions) -> Result:
    """Estimate all candidates twice, and compile the first ones."""
    plans = candidates(count)
    networks = [network_from_proto(network_to_proto(network_of(plan, "candidate"))) for plan in plans]
    first, again = rate(networks, options), rate(networks, options)
    equal = gaps = smaller = 0
    for plan, network in zip(plans[:compiled], networks, strict=False):
        told = estimate(network, options).planned
        graph = plan_graph(plan, "candidate")
        arena = compile_graph(graph, graph, options).manifest.memory.arena
        gaps += told.plan.gap_bytes > 0
        equal += arena == told.memory.split.arena
        smaller += arena < told.memory.split.arena
    layers = sum(len(n.ops) for n in networks) / len(networks)
    return Result(count, layers, round(first, 1), round(again, 1), compiled, equal, gaps, smaller)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=100, metavar="N")
    parser.add_argument("--compiled", type=int, default=0, metavar="N")
    parser.add_argument("--target", default="nucleo-l4r5zi", metavar="NAME")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    asked = parser.parse_args()
    target = load_target(asked.target)
    result = measure(asked.count, asked.compiled, CompileOptions(target.name, Core(target.core)))
    if asked.json:
        print(json.dumps(asdict(result), indent=1))
        return
    print(f"{result.candidates} candidates of {result.layers:.0f} operators for {target.name}, one core:")
    print(f"{result.first_a_second:.1f} a second at first, {result.again_a_second:.1f} when layers are known")
    if result.compiled:
        print(f"arena equal for {result.arena_equal} of {result.compiled} compiled; {result.with_gap} had a gap,")
        print(f"{result.arena_smaller} compiled smaller")


if __name__ == "__main__":
    main()
