"""Random networks under random schedules, on the host and on simulated cores, against the numpy reference.

    python -m benchmarks.fuzz_schedules [--networks N] [--first N] [--output FILE.md]

Network n (tests/compiler/schedule/image_networks.py) is given the schedule that seed n draws
(tests/compiler/schedule/drawn_schedules.py): drawn streams, drawn patches with streams behind them, or what the
planner answers to a drawn wish. All with portable kernels on the host, two of five with one of six sets of kernels
on a simulated core. Any case is drawn again by its number. Exit 1 on a mismatch.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from services.compiler.options import CompileOptions, Core, Interface, Kernels
from tests.compiler.schedule.drawn_cases import Case, board_mistakes, draw_case, host_mistakes
from tests.compiler.schedule.image_networks import image_network

HOST = CompileOptions("host", Core.CORTEX_M4, interface=Interface.FLOAT, kernels=Kernels.PORTABLE)
BOARDS = tuple(
    CompileOptions(target, core, interface=Interface.FLOAT, kernels=kernels)
    for target, core, kernels in (
        ("nucleo-l4r5zi", Core.CORTEX_M4, Kernels.CORE),
        ("rp2040", Core.CORTEX_M0PLUS, Kernels.CORE),
        ("stm32f746", Core.CORTEX_M7, Kernels.CORE),
        ("nucleo-u575zi", Core.CORTEX_M33, Kernels.CORE),
        ("nucleo-l4r5zi", Core.CORTEX_M4, Kernels.SMALL),
        ("nucleo-l4r5zi", Core.CORTEX_M4, Kernels.PORTABLE),
    )
)
A_ROUND, A_BUILD = 500, 50


@dataclass
class Tally:
    """What ran so far: schedules by where they ran, operators, mismatches."""

    host: Counter[str] = field(default_factory=Counter)
    boards: Counter[str] = field(default_factory=Counter)
    cores: Counter[tuple[str, str]] = field(default_factory=Counter)
    operators: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)
    start: float = field(default_factory=time.perf_counter)

    def run(self, numbers: range) -> None:
        """Run networks of these numbers, everywhere."""
        graphs = {n: image_network(n) for n in numbers}
        self.operators.update(op.kind for graph in graphs.values() for op in graph.ops)
        on_host = [draw_case(graph, HOST, n) for n, graph in graphs.items()]
        self.host.update(case.kind for case in on_host)
        for first in range(0, len(on_host), A_BUILD):
            with tempfile.TemporaryDirectory() as folder:
                self.found += host_mistakes(on_host[first : first + A_BUILD], Path(folder))
        on_boards = [n for n in numbers if n % 5 < 2]
        for board, options in enumerate(BOARDS):
            # every board in turn, and another one each time round: kinds of networks come back every twelve
            own = [n for i, n in enumerate(on_boards) if (i + i // len(BOARDS)) % len(BOARDS) == board]
            self._run_board(options, [draw_case(graphs[n], options, n) for n in own])

    def _run_board(self, options: CompileOptions, cases: list[Case]) -> None:
        self.boards.update(case.kind for case in cases)
        self.cores[options.core.value, options.kernels.value] += len(cases)
        if cases:
            self.found += board_mistakes(cases)

    def document(self, command: str) -> str:
        """Return the results as Markdown."""
        schedules = [f"| {kind} | {n} | {self.boards[kind]} |" for kind, n in sorted(self.host.items())]
        cores = [f"| {' | '.join(core)} | {n} |" for core, n in sorted(self.cores.items())]
        return "\n".join(
            (
                f"`{command}` at {_commit()}, Python {platform.python_version()} on {platform.machine()}:",
                f"{self.host.total():,} random networks of {self.operators.total():,} operators, random schedules,",
                f"on the host, {self.boards.total():,} of them also on simulated cores, every output byte compared",
                f"with the numpy reference; bytes around the arena are guarded. **{len(self.found)} mismatches**",
                f"({time.perf_counter() - self.start:.0f} s).",
                "",
                *(f"- {text}" for text in self.found),
                "| schedule | on the host | on cores |",
                "|---|---|---|",
                *schedules,
                "",
                "| core | kernels | networks |",
                "|---|---|---|",
                *cores,
                "",
                f"Operators: {', '.join(f'{kind} {n:,}' for kind, n in sorted(self.operators.items()))}.",
                "",
            )
        )


def _commit() -> str:
    command = ("git", "describe", "--always", "--dirty", "--abbrev=9")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Run as many networks as asked for and report after every round."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--networks", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first network")
    parser.add_argument("--output", type=Path, metavar="FILE.md")
    options = parser.parse_args()
    numbers, tally = range(options.first, options.first + options.networks), Tally()
    command = f"python -m benchmarks.fuzz_schedules --first {options.first} --networks {options.networks}"
    for at in range(0, len(numbers), A_ROUND):
        tally.run(numbers[at : at + A_ROUND])
        print(f"{tally.host.total()} networks, {len(tally.found)} mismatches", *tally.found[-1:], flush=True)
        if options.output is not None:
            options.output.write_text(tally.document(command))
    print(tally.document(command))
    sys.exit(bool(tally.found))


if __name__ == "__main__":
    main()
