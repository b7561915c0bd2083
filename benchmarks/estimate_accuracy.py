"""How close the estimate of random networks is to what the compiler makes of them and the board then takes.

    python -m benchmarks.estimate_accuracy [--branching] [--count N] [--run N] [--target NAME] [--json]

Candidates as in benchmarks/estimate.py, or networks with branches (benchmarks/branching.py); each per layer and under
one of the other schedules in turn. SRAM: the
estimate without weights and without the exact solver beside the compiler's plan of the network with weights, part by
part. The first `--run` of the candidates are linked and run on the simulated board: no layer of theirs was in what the
cost model was fitted on. Cycles are the core's own by its model, without waiting for flash, as the estimate has them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.branching import branching_network
from benchmarks.cost_measured import Measured, Subject, on_board
from benchmarks.estimate import candidates
from benchmarks.networks import plan_graph
from services.common.targets import load_target
from services.compiler.convert.network import network_from_proto
from services.compiler.convert.network import network_to_proto as graph_to_proto
from services.compiler.estimate import Estimate, estimate
from services.compiler.ir.graph import Graph
from services.compiler.options import CompileOptions, Core, Kernels
from services.compiler.pipeline import compile_choice
from services.compiler.planned import Planned
from services.compiler.planner.choose import choose
from services.search.convert import network_to_proto
from services.search.space.network import network_of
from services.search.space.plan import Plan

# Least memory by rings and by patches; and the fastest in little and in less SRAM than operators need one by one.
SCHEDULES: tuple[tuple[str, int | None], ...] = (
    ("per-layer", None),
    ("streaming", None),
    ("patch", None),
    ("auto", 96 * 1024),
    ("auto", 64 * 1024),
)


Candidate = tuple[Graph, Graph]  # without weights, and with them


@dataclass(frozen=True, slots=True)
class Case:
    """One candidate under one schedule: the arenas, the gap that the estimate states, and the error of its cycles and
    instructions where it ran.
    """

    schedule: str
    estimated_bytes: int
    compiled_bytes: int
    is_equal: bool
    gap_bytes: int
    instructions_error: float | None = None
    cycles_error: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """All candidates under one schedule. `equal` and `without_gap` are numbers of candidates whose every part of SRAM
    is the compiler's, of those without a gap; `won_bytes` what the exact solver saved where there was one, at most.
    """

    schedule: str
    candidates: int
    without_gap: int
    equal: int
    with_gap: int
    smaller: int
    won_bytes: int
    won_share: float
    ran: int
    instructions_worst: float
    cycles_worst: float
    cycles_mean: float


def searched(plans: Iterable[Plan]) -> Iterator[Candidate]:
    """Yield candidates of a search: the message is the search's own."""
    for plan in plans:
        yield network_from_proto(network_to_proto(network_of(plan, "candidate"))), plan_graph(plan, "candidate")


def branching(count: int) -> Iterator[Candidate]:
    """Yield networks with branches: the message is that of the compiled model."""
    for graph in map(branching_network, range(count)):
        yield network_from_proto(graph_to_proto(graph)), graph


def cases(found: Iterable[Candidate], run: int, options: CompileOptions, cache: Path) -> Iterator[Case]:
    """Yield every candidate under two schedules."""
    for number, (bare, graph) in enumerate(found):
        for kind, budget in (SCHEDULES[0], SCHEDULES[1 + number % (len(SCHEDULES) - 1)]):
            asked = replace(options, schedule=kind, sram_budget_bytes=budget)
            told, choice = estimate(bare, asked), choose(graph, asked)
            measured = None
            if number < run:
                library = compile_choice(choice, graph, graph, asked).library_zip
                measured = on_board(library, choice.planned, Subject(options.core, Kernels.CORE), cache)
            yield case(kind if budget is None else f"{kind}, {budget // 1024} KiB", told, choice.planned, measured)


def case(schedule: str, found: Estimate, compiled: Planned, measured: Measured | None) -> Case:
    """Return the estimate beside the compiler's plan and the board's count."""
    told, made = found.planned.memory.split, compiled.memory.split
    errors: tuple[float | None, float | None] = None, None
    if measured is not None and measured.timing is not None:
        total = measured.timing.total
        errors = found.instructions / total.instructions - 1, found.cycles / total.core_cycles - 1
    return Case(schedule, told.arena, made.arena, told == made, found.planned.plan.gap_bytes, *errors)


def rows(found: Iterable[Case]) -> Iterator[Row]:
    """Yield a row a schedule."""
    by_schedule: dict[str, list[Case]] = {}
    for one in found:
        by_schedule.setdefault(one.schedule, []).append(one)
    for schedule, own in by_schedule.items():
        exact, gaps = [c for c in own if not c.gap_bytes], [c for c in own if c.gap_bytes]
        won = [(c.estimated_bytes - c.compiled_bytes, c.estimated_bytes) for c in gaps]
        instructions = [abs(c.instructions_error) for c in own if c.instructions_error is not None]
        cycles = [c.cycles_error for c in own if c.cycles_error is not None]
        yield Row(
            schedule=schedule,
            candidates=len(own),
            without_gap=len(exact),
            equal=sum(c.is_equal for c in exact),
            with_gap=len(gaps),
            smaller=sum(saved > 0 for saved, _ in won),
            won_bytes=max((saved for saved, _ in won), default=0),
            won_share=round(max((saved / arena for saved, arena in won), default=0.0), 4),
            ran=len(cycles),
            instructions_worst=round(max(instructions, default=0.0), 4),
            cycles_worst=round(max(map(abs, cycles), default=0.0), 4),
            cycles_mean=round(sum(cycles) / max(1, len(cycles)), 4),
        )


def main() -> None:
    """Print a row a schedule; as JSON, one line a case as it is found, then all rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--branching", action="store_true", help="networks with branches, not chains of bottlenecks")
    parser.add_argument("--count", type=int, default=200, metavar="N")
    parser.add_argument("--run", type=int, default=10, metavar="N")
    parser.add_argument("--target", default="nucleo-l4r5zi", metavar="NAME")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    target = load_target(asked.target)
    options = CompileOptions(target.name, Core(target.core), sram_bytes=target.sram.size_bytes)
    found: list[Case] = []
    with tempfile.TemporaryDirectory() as folder:
        drawn = branching(asked.count) if asked.branching else searched(candidates(asked.count, seed=1))
        for one in cases(drawn, asked.run, options, Path(folder)):
            found.append(one)
            if asked.json:
                print(json.dumps(asdict(one)), flush=True)
    if asked.json:
        print(json.dumps([asdict(row) for row in rows(found)]))
        return
    for row in rows(found):
        print(row)


if __name__ == "__main__":
    main()
