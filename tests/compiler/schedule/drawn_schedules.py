"""Random schedules of a network: drawn stages, or what the planner answers to drawn wishes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from services.compiler.ir.graph import Graph
from services.compiler.ir.planned_ops import ImageSums, TransposeImage
from services.compiler.ir.verify import verify
from services.compiler.options import CompileOptions, kernel_set
from services.compiler.passes.by_columns import by_columns
from services.compiler.passes.recompute import checkpoints, image_means, made_again
from services.compiler.planned import Planned, StreamPlanner, plan_network
from services.compiler.planner.choose import choose
from services.compiler.planner.kinds import RESERVED_BYTES, Choice
from services.compiler.schedule.patches import Patches, can_patch, patches, sum_stages
from services.compiler.schedule.rows import is_row_wise
from services.compiler.schedule.schedule import StageKind
from services.compiler.schedule.streaming import Stream, stream

_MOST_PARTS = 6
# Of twelve plans one is per-layer, these are drawn, the others answer wishes.
_MOST_DRAWN = 8


def draw_schedule(graph: Graph, options: CompileOptions, seed: int) -> Choice:
    """Return a plan for these options' kernels: drawn patches, drawn streams, or a wish to the planner.

    What is drawn is often by columns, where images are wider than high, and in a third images of means are made again.
    """
    random = np.random.default_rng(seed)
    kind = int(random.integers(0, 12))
    if kind <= _MOST_DRAWN and seed % 2 and (columns := by_columns(graph)) is not None:
        graph = columns
    if kind <= _MOST_DRAWN and seed % 3 == 0:
        graph = made_again_somewhere(graph, random)
    planner = StreamPlanner(graph, kernel_set(options))
    match kind:
        case 0:
            return Choice(plan_network(graph, kernel_set(options), exact=bool(random.random() < 0.5)), "per-layer")
        case _ if kind <= _MOST_DRAWN:
            found = draw_patches(graph, random) if kind > 4 else []
            if not found:
                return Choice(planner.plan(list(draw_streams(graph, random)), exact=False), "drawn streams")
            streams = list(draw_streams(graph, random, found[-1].stop)) if random.random() < 0.5 else []
            grid = f"{found[0].grid[0]}x{found[0].grid[1]}"
            return Choice(planner.plan_patches(found, streams, exact=False), f"drawn patches {grid}")
        case _:
            return choose(graph, _wish(graph, options, random), exact=False)


def draw_streams(graph: Graph, random: np.random.Generator, start: int = 0) -> Iterator[Stream]:
    """Yield stages over runs of row-wise operators from `start` on, some left out."""
    at = start
    while at < len(graph.ops):
        stop = at
        while stop < len(graph.ops) and is_row_wise(graph, graph.ops[stop]):
            stop += 1
        if stop == at:
            at += 1
            continue
        stop = int(random.integers(at + 1, stop + 1))
        if random.random() < 0.8:
            yield stream(graph, at, stop, int(random.integers(1, 6)))
        at = stop


def draw_patches(graph: Graph, random: np.random.Generator) -> list[Patches]:
    """Return patches of some of the first operators, in stages if they sum images; none where nothing can be cut."""
    sums, first = sum_stages(graph)
    first = first if sums else 0  # inputs are quantized in patches, too
    most = first
    while most < len(graph.ops) and can_patch(graph, graph.ops[most]):
        most += 1
    for stop in sorted((int(random.integers(first, most + 1)) for _ in range(3)), reverse=True):
        grid = int(random.integers(1, _MOST_PARTS)), int(random.integers(1, _MOST_PARTS))
        stages = [*sums, (first, stop)] if stop > first else sums
        found = [patches(graph, stop, grid, start) for start, stop in stages]
        if found and None not in found:
            return [stage for stage in found if stage is not None]
    return []


def made_again_somewhere(graph: Graph, random: np.random.Generator) -> Graph:
    """Return the graph with images of some means made again, or their sums kept where nothing else reads them."""
    for mean in image_means(graph):
        if (found := checkpoints(graph, mean)) and random.random() < 0.8:
            graph = made_again(graph, mean, found[int(random.integers(len(found)))])
    return verify(graph)


def _wish(graph: Graph, options: CompileOptions, random: np.random.Generator) -> CompileOptions:
    """Return the options with a schedule to be planned, most within limits that leave it some choice."""
    arena = plan_network(graph, kernel_set(options), exact=False).plan.arena_bytes
    limit = int(random.uniform(0.3, 1.0) * arena) + RESERVED_BYTES
    named = f"patch:{random.integers(1, _MOST_PARTS)}x{random.integers(1, _MOST_PARTS)}"
    wishes: tuple[tuple[str, int | None, int | None], ...] = (
        ("auto", limit, None),
        ("auto", None, limit),
        ("streaming", None, None),
        ("streaming", None, limit),
        ("patch", None, None),
        ("patch", None, limit),
        (named, None, None),
    )
    schedule, sram, budget = wishes[int(random.integers(len(wishes)))]
    return replace(options, schedule=schedule, sram_bytes=sram, sram_budget_bytes=budget)


def kind_of(planned: Planned) -> str:
    """Return what the plan is in a few words: patches with their grid's shape, streamed stages, by columns or not, with
    images made again or not.
    """
    stages = planned.schedule.stages
    streams = [stage for stage in stages if stage.kind is StageKind.STREAMING]
    grids = [stage.grid for stage in stages if stage.grid is not None]
    told = ["square patches" if rows == columns else "patches, not square" for rows, columns in grids[:1]]
    if streams:
        told.append("one streamed stage" if len(streams) == 1 else "several streamed stages")
    for kind, words in ((TransposeImage, "by columns"), (ImageSums, "sums kept")):
        if any(isinstance(op, kind) for op in planned.graph.ops):
            told = [*(told or ["per-layer"]), words]
    return ", ".join(told or ["per-layer"])
