"""Random graphs through the whole compiler onto simulated cores, against the numpy reference, byte for byte.

    python -m benchmarks.fuzz [--first N] [--graphs N] [--of N] [--output FILE.md]

Every graph is compiled for one of four cores with one of two kernel sets by one of three planners, in turn, so that
each combination gets every 24th. Graphs are those of tests/cores/core_graphs.py: all operators, several inputs and
outputs, extreme scales, zero points, weights and biases. A graph is drawn again by its number and by how many are drawn
in all. Exit 1 on a mismatch.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from services.compiler.options import Interface
from services.compiler.passes.optimize import optimize
from tests.cores.core_graphs import Sample, draw_samples
from tests.cores.test_random_on_cores import BOARDS, Planner, mistakes

COMBINATIONS = tuple(product(Planner, BOARDS))
A_ROUND = 15 * len(COMBINATIONS)


class Tally:
    """What ran so far."""

    def __init__(self) -> None:
        self.graphs: Counter[tuple[str, str, str]] = Counter()
        self.drawn: Counter[str] = Counter()
        self.compiled: Counter[str] = Counter()
        self.found: list[str] = []
        self.start = time.perf_counter()

    def run(self, samples: Sequence[Sample], combination: int) -> None:
        """Run graphs in one combination."""
        planner, (target, core, kernels) = COMBINATIONS[combination]
        self.found += mistakes(samples, target, core, kernels, planner)
        self.graphs[core.value, kernels.value, planner.value] += len(samples)
        for sample in samples:
            self.drawn.update(op.kind for op in sample.graph.ops)
            self.compiled.update(op.kind for op in optimize(sample.graph, Interface.FLOAT).ops)

    def document(self, command: str) -> str:
        """Return the results as Markdown."""
        rows = [f"| {' | '.join(combination)} | {n} |" for combination, n in sorted(self.graphs.items())]
        every = sorted(self.drawn | self.compiled)
        kinds = [f"| {kind} | {self.drawn[kind]:,} | {self.compiled[kind]:,} |" for kind in every]
        graphs, operators = sum(self.graphs.values()), sum(self.drawn.values())
        return "\n".join(
            (
                "# Random graphs on simulated cores",
                "",
                f"`{command}`: {graphs:,} random graphs of {operators:,} operators, each compiled, linked and run on a",
                "simulated core, every output byte compared with the numpy reference; bytes around the arena are",
                f"guarded. **{len(self.found)} mismatches** ({time.perf_counter() - self.start:.0f} s).",
                "",
                *(f"- {text}" for text in self.found),
                "| core | kernels | planner | graphs |",
                "|---|---|---|---|",
                *rows,
                "",
                "| operator | drawn | left after optimization |",
                "|---|---|---|",
                *kinds,
                "",
            )
        )


def main() -> None:
    """Run as many graphs as asked for, combination by combination, and report after every round."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--first", type=int, default=0, help="number of the first graph: several runs share the work")
    parser.add_argument("--graphs", type=int, default=2000)
    parser.add_argument("--of", type=int, help="how many are drawn in all: they depend on it")
    parser.add_argument("--output", type=Path, metavar="FILE.md")
    options = parser.parse_args()
    stop = options.first + options.graphs
    of = max(stop, options.of or 0)
    samples, tally = draw_samples(of)[options.first : stop], Tally()
    command = f"python -m benchmarks.fuzz --first {options.first} --graphs {options.graphs} --of {of}"
    for first in range(0, len(samples), A_ROUND):
        chosen = samples[first : first + A_ROUND]
        for combination in range(len(COMBINATIONS)):
            if part := chosen[combination :: len(COMBINATIONS)]:
                tally.run(part, combination)
                print(
                    f"{sum(tally.graphs.values())} graphs, {len(tally.found)} mismatches", *tally.found[-1:], flush=True
                )
        if options.output is not None:
            options.output.write_text(tally.document(command))
    print(tally.document(command))
    sys.exit(bool(tally.found))


if __name__ == "__main__":
    main()
