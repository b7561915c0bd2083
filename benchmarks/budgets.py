"""What a plan within a budget costs, from the least budget that is kept to per-layer: is more memory ever slower?

    python -m benchmarks.budgets [--steps N] [--output FILE.md] [MODEL.tflite | MODEL.onnx]...

Schedule `auto`, kernels of the Cortex-M4, instructions modelled, so that nothing runs. The planner tries a few cuts for
every budget. A budget is lost if a smaller one had found a plan that is more than 0.2 % faster.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.shared import SHARED_MODELS
from services.compiler.cost.layer_cost import network_cost
from services.compiler.ir.graph import Graph
from services.compiler.options import CompileOptions, Core
from services.compiler.passes.optimize import optimize
from services.compiler.passes.pull_input import with_input
from services.compiler.pipeline import import_model
from services.compiler.planned import Planned
from services.compiler.planner.choose import choose
from services.compiler.planner.kinds import RESERVED_BYTES

_CORE = Core.CORTEX_M4
_LOST = 1.002


@dataclass(frozen=True, slots=True)
class Result:
    """One model: its least and its per-layer arena, instructions at either, budgets tried and lost, and by how much."""

    model: str
    least_bytes: int
    whole_bytes: int
    least_instructions: float
    whole_instructions: float
    tried: int
    lost: int
    worst: float


def within(graph: Graph, arena_bytes: int) -> Planned:
    """Return the plan for so many bytes of arena."""
    options = CompileOptions("host", _CORE, sram_budget_bytes=arena_bytes + RESERVED_BYTES)
    return choose(with_input(graph, options), options, exact=False).planned


def sweep(graph: Graph, model: str, steps: int) -> Result:
    """Plan a network for so many budgets."""
    least, whole = within(graph, 1), within(graph, 1 << 30)
    ends = least.plan.arena_bytes, whole.plan.arena_bytes
    costs = [network_cost(plan, _CORE).instructions for plan in _plans(graph, *ends, steps)]
    best, ratios = costs[0], list[float]()
    for cost in costs:
        ratios.append(cost / best)
        best = min(best, cost)
    lost = sum(ratio > _LOST for ratio in ratios)
    return Result(model, *ends, costs[0], network_cost(whole, _CORE).instructions, steps, lost, max(ratios))


def _plans(graph: Graph, least_bytes: int, whole_bytes: int, steps: int) -> Iterator[Planned]:
    for step in range(steps):
        yield within(graph, least_bytes + (whole_bytes - least_bytes) * step // steps)


def table(results: Sequence[Result]) -> str:
    """Return the results as a Markdown table."""
    head = (
        "| model | least arena | instructions | per-layer arena | instructions | budgets | lost | by up to |",
        "|---|---|---|---|---|---|---|---|",
    )
    rows = (
        f"| {r.model} | {r.least_bytes:,} | {r.least_instructions:,.0f} | {r.whole_bytes:,} "
        f"| {r.whole_instructions:,.0f} | {r.tried} | {r.lost} | {100 * (r.worst - 1):.1f} % |"
        for r in results
    )
    return "\n".join((*head, *rows))


def main() -> None:
    """Sweep the budgets of what the command line names and print, and write if asked, the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--steps", type=int, default=40, metavar="N", help="budgets of each model")
    parser.add_argument("--output", type=Path, metavar="FILE.md")
    asked = parser.parse_args()
    models = asked.models or sorted(SHARED_MODELS.glob("*.tflite"))
    graphs = ((optimize(import_model(model.read_bytes(), model.name)), model.stem) for model in models)
    text = table([sweep(graph, name, asked.steps) for graph, name in graphs])
    print(text)
    if asked.output is not None:
        asked.output.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
